// Package jaegerstorage is the extension "jaeger_storage" with one kind of storage, Badger. The one of Jaeger itself
// also has Elasticsearch, Cassandra, ClickHouse and more, which are two thirds of the time that Jaeger takes to build.
package jaegerstorage

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"

	"github.com/jaegertracing/jaeger/internal/metrics"
	"github.com/jaegertracing/jaeger/internal/storage/v1"
	"github.com/jaegertracing/jaeger/internal/storage/v1/badger"
	"github.com/jaegertracing/jaeger/internal/storage/v2/api/tracestore"
	badgerstore "github.com/jaegertracing/jaeger/internal/storage/v2/badger"
	"github.com/jaegertracing/jaeger/internal/telemetry"
)

var kind = component.MustNewType("jaeger_storage")

// ID is what others that need the extension depend on.
var ID = component.NewID(kind)

// Config has the storages by their names.
type Config struct {
	Backends map[string]Backend `mapstructure:"backends"`
}

// Backend is one storage.
type Backend struct {
	Badger *badger.Config `mapstructure:"badger"`
}

// Unmarshal lets what the configuration does not say be as Jaeger has it.
func (b *Backend) Unmarshal(conf *confmap.Conf) error {
	b.Badger = badger.DefaultConfig()
	return conf.Unmarshal(b)
}

type stores struct {
	config   *Config
	settings component.TelemetrySettings
	opened   map[string]tracestore.Factory
}

// NewFactory makes the extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(
		kind,
		func() component.Config { return &Config{} },
		func(_ context.Context, set extension.Settings, config component.Config) (extension.Extension, error) {
			return &stores{config.(*Config), set.TelemetrySettings, map[string]tracestore.Factory{}}, nil
		},
		component.StabilityLevelBeta,
	)
}

// Start opens the storages.
func (s *stores) Start(_ context.Context, host component.Host) error {
	all := telemetry.FromOtelComponent(s.settings, host).Metrics.Namespace(metrics.NSOptions{Name: "jaeger"})
	for name, backend := range s.config.Backends {
		tags := map[string]string{"name": name, "kind": "badger", "role": "tracestore"}
		own := all.Namespace(metrics.NSOptions{Name: "storage", Tags: tags})
		opened, err := badgerstore.NewFactory(*backend.Badger, own, s.settings.Logger)
		if err != nil {
			return fmt.Errorf("storage %q cannot be opened: %w", name, err)
		}
		s.opened[name] = opened
	}
	return nil
}

// Shutdown closes them.
func (s *stores) Shutdown(context.Context) error {
	var failed []error
	for _, opened := range s.opened {
		if closer, ok := opened.(io.Closer); ok {
			failed = append(failed, closer.Close())
		}
	}
	return errors.Join(failed...)
}

// GetTraceStoreFactory finds the storage of that name.
func GetTraceStoreFactory(name string, host component.Host) (tracestore.Factory, error) {
	if found, ok := host.GetExtensions()[ID].(*stores); ok {
		if opened, ok := found.opened[name]; ok {
			return opened, nil
		}
	}
	return nil, fmt.Errorf("jaeger_storage has no storage %q", name)
}

// GetMetricStorageFactory is asked where metrics are to be queried through Jaeger: they are in Prometheus.
func GetMetricStorageFactory(name string, _ component.Host) (storage.MetricStoreFactory, error) {
	return nil, fmt.Errorf("jaeger_storage has no storage %q of metrics", name)
}
