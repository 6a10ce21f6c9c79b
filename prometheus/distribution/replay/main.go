// Command replay shows what alerts rules would have given over a stretch of past or made-up traffic.
//
// It is Prometheus' own rules engine over a database of its own, with a clock that goes as fast as the machine can:
// weeks take minutes. From its input it reads one line of JSON with the labels of every series, and then a line a step:
// a number for each series, or nothing where the series has no sample. Whenever an alert begins or ends to fire it
// writes a line of JSON.
//
//	replay --start 2026-01-05T00:00:00Z --step 30s rules/*.yaml < samples
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

func main() {
	start := flag.String("start", "", "time of the first step, such as 2026-01-05T00:00:00Z")
	step := flag.Duration("step", 30*time.Second, "time between two steps")
	flag.Parse()
	debug.SetGCPercent(400) // a database of some 100 MB: memory for a fifth less time
	if err := run(*start, *step, flag.Args(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "replay: %s\n", err)
		os.Exit(1)
	}
}

func run(start string, step time.Duration, files []string, input io.Reader, output io.Writer) error {
	now, err := time.Parse(time.RFC3339, start)
	if err != nil {
		return fmt.Errorf("--start is no time such as 2026-01-05T00:00:00Z: %q", start)
	}
	if step <= 0 || len(files) == 0 {
		return fmt.Errorf("give it a --step above 0 and the files of rules")
	}
	directory, err := os.MkdirTemp("", "replay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	options := tsdb.DefaultOptions()
	options.RetentionDuration = 0 // all that is replayed is kept
	// It all stays in the database's head: of the usual blocks of two hours, a window of a week would read 84.
	options.MinBlockDuration = (400 * 24 * time.Hour).Milliseconds()
	options.MaxBlockDuration = options.MinBlockDuration
	options.WALSegmentSize = -1 // nothing has to survive the program
	database, err := tsdb.Open(directory, slog.New(slog.DiscardHandler), nil, options, nil)
	if err != nil {
		return err
	}
	defer database.Close()
	groups, err := load(database, files)
	if err != nil {
		return err
	}
	samples, err := newSamples(input)
	if err != nil {
		return err
	}
	firing := map[string]labels.Labels{}
	written := json.NewEncoder(output)
	for ; ; now = now.Add(step) {
		more, err := samples.append(database, now)
		if err != nil || !more {
			return err
		}
		for _, group := range groups {
			if now.Unix()%int64(max(group.Interval(), step).Seconds()) != 0 {
				continue
			}
			group.Eval(context.Background(), now)
			for _, rule := range group.Rules() {
				if err := rule.LastError(); err != nil {
					return fmt.Errorf("rule %s at %s: %w", rule.Name(), now.Format(time.RFC3339), err)
				}
			}
		}
		if firing, err = tell(written, groups, firing, now); err != nil {
			return err
		}
	}
}

// load reads the files of rules; alerts need no history of their own to begin with.
func load(database *tsdb.DB, files []string) ([]*rules.Group, error) {
	quiet := slog.New(slog.DiscardHandler)
	// No query is ever too slow here: the machine may sleep for a while.
	grammar := parser.NewParser(parser.Options{EnableExtendedRangeSelectors: true})
	engine := promql.NewEngine(promql.EngineOpts{
		Logger: quiet, MaxSamples: 50_000_000, Timeout: 24 * time.Hour, EnableAtModifier: true, EnableNegativeOffset: true,
		Parser: grammar,
	})
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:  rules.EngineQueryFunc(engine, database),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Appendable: database,
		Queryable:  database,
		Context:    context.Background(),
		Logger:     quiet,
		Parser:     grammar,
	})
	var groups []*rules.Group
	for _, file := range files {
		loaded, errs := manager.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, file)
		if len(errs) > 0 {
			return nil, errs[0]
		}
		for _, group := range loaded {
			groups = append(groups, group)
			for _, rule := range group.Rules() {
				if alert, is := rule.(*rules.AlertingRule); is {
					alert.SetRestored(true)
				}
			}
		}
	}
	return groups, nil
}

// samples reads the input, step by step.
type samples struct {
	lines  *bufio.Scanner
	series []labels.Labels
	refs   []storage.SeriesRef
	absent []bool
}

func newSamples(input io.Reader) (*samples, error) {
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, 64<<20)
	if !lines.Scan() {
		return nil, fmt.Errorf("the input is empty: its first line names the series")
	}
	var named []map[string]string
	if err := json.Unmarshal(lines.Bytes(), &named); err != nil {
		return nil, fmt.Errorf("the first line of the input is no JSON list of labels: %w", err)
	}
	found := &samples{lines: lines, refs: make([]storage.SeriesRef, len(named)), absent: make([]bool, len(named))}
	for index, each := range named {
		found.series = append(found.series, labels.FromMap(each))
		found.absent[index] = true
	}
	return found, nil
}

// append stores the samples of one step; false where there are no more.
func (s *samples) append(database *tsdb.DB, now time.Time) (bool, error) {
	if !s.lines.Scan() {
		return false, s.lines.Err()
	}
	values := strings.Split(s.lines.Text(), " ")
	if len(values) != len(s.series) {
		return false, fmt.Errorf("%d values for %d series at %s", len(values), len(s.series), now.Format(time.RFC3339))
	}
	appender := database.Appender(context.Background())
	for index, text := range values {
		number := math.Float64frombits(value.StaleNaN) // a series that ends says so once
		if text == "" && s.absent[index] {
			continue
		}
		if text != "" {
			var err error
			if number, err = strconv.ParseFloat(text, 64); err != nil {
				return false, err
			}
		}
		s.absent[index] = text == ""
		ref, err := appender.Append(s.refs[index], s.series[index], now.UnixMilli(), number)
		if err != nil {
			return false, err
		}
		s.refs[index] = ref
	}
	return true, appender.Commit()
}

// tell writes which alerts have begun and ended to fire since the step before, and returns those that fire now.
func tell(written *json.Encoder, groups []*rules.Group, before map[string]labels.Labels, now time.Time) (map[string]labels.Labels, error) {
	firing := map[string]labels.Labels{}
	for _, group := range groups {
		for _, rule := range group.AlertingRules() {
			for _, alert := range rule.ActiveAlerts() {
				if alert.State == rules.StateFiring {
					firing[alert.Labels.String()] = alert.Labels
				}
			}
		}
	}
	for key, each := range firing {
		if _, was := before[key]; !was {
			if err := written.Encode(event{now, "firing", each.Map()}); err != nil {
				return nil, err
			}
		}
	}
	for key, each := range before {
		if _, is := firing[key]; !is {
			if err := written.Encode(event{now, "resolved", each.Map()}); err != nil {
				return nil, err
			}
		}
	}
	return firing, nil
}

type event struct {
	Time   time.Time         `json:"time"`
	State  string            `json:"state"`
	Labels map[string]string `json:"labels"`
}
