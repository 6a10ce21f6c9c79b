// Tells the licences of Go modules, with the matcher that pkg.go.dev uses.
module genai-observability/licences

go 1.26

require github.com/google/licensecheck v0.3.1
