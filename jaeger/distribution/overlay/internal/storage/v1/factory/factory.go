// Package factory has what the query API refers to of the storages of Jaeger 1, and none of them.
package factory

import "github.com/jaegertracing/jaeger/internal/storage/v1/api/spanstore"

// ArchiveStorage is where Jaeger 1 kept single traces for longer; nothing fills it here.
type ArchiveStorage struct {
	Reader spanstore.Reader
	Writer spanstore.Writer
}
