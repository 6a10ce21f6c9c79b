// Command scan reads folders of modules from standard input, one a line, and prints for each a line of JSON: the names
// of the licences (SPDX) that stand in its licence files, and the smallest share of such a file that they account for.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/google/licensecheck"
)

var named = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)`)

type found struct {
	Licences []string `json:"licences"`
	Percent  float64  `json:"percent"`
}

func main() {
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		each, err := scan(lines.Text())
		if err == nil {
			err = out.Encode(each)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

func scan(folder string) (found, error) {
	all := found{Licences: []string{}, Percent: 100}
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		if entry.IsDir() || !named.MatchString(entry.Name()) || filepath.Ext(entry.Name()) == ".go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return all, err
		}
		cover := licensecheck.Scan(text)
		all.Percent = min(all.Percent, cover.Percent)
		for _, match := range cover.Match {
			if !match.IsURL && !slices.Contains(all.Licences, match.ID) {
				all.Licences = append(all.Licences, match.ID)
			}
		}
	}
	slices.Sort(all.Licences)
	return all, err
}
