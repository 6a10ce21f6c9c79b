// Command fill writes made-up history into the data directory of a Prometheus that is not running, so that queries can
// be timed over more of it than one would wait for. From its input it reads one line of JSON for each series:
//
//	{"labels": {"__name__": "calls_total", "job": "shop"}, "counter": true, "mean": 0.5, "every": [[720, 60], [48, 5]]}
//
// A counter grows by `mean` a second, more by day than by night; another series has values around `mean`. `every` says
// how fine it is: until so many hours before the end, a sample every so many seconds; the last of all begins there.
//
//	fill --directory data --end 2026-01-05T00:00:00Z < series
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
	"math/rand/v2"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
)

// A block of the database: its head takes samples of half its range, so it is told twice what it gets.
const block = 12 * time.Hour

func main() {
	directory := flag.String("directory", "", "data directory of a Prometheus")
	end := flag.String("end", "", "time of the last samples, such as 2026-01-05T00:00:00Z")
	flag.Parse()
	if err := run(*directory, *end, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "fill: %s\n", err)
		os.Exit(1)
	}
}

func run(directory, end string, input io.Reader, output io.Writer) error {
	until, err := time.Parse(time.RFC3339, end)
	if err != nil || directory == "" {
		return fmt.Errorf("give it a --directory, and an --end such as 2026-01-05T00:00:00Z")
	}
	all, err := read(input, until)
	if err != nil {
		return err
	}
	first := until
	for _, each := range all {
		if start := each.spans[0].from; start.Before(first) {
			first = start
		}
	}
	for start := first.Truncate(block); start.Before(until); start = start.Add(block) {
		count, err := write(directory, all, start, start.Add(block))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(output, "%s %d\n", start.Format(time.RFC3339), count); err != nil {
			return err
		}
	}
	return nil
}

type span struct {
	from, until time.Time
	every       time.Duration
}

type series struct {
	labels  labels.Labels
	counter bool
	mean    float64
	spans   []span
	last    time.Time
	value   float64
	random  *rand.Rand
}

func read(input io.Reader, until time.Time) ([]*series, error) {
	var all []*series
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Labels  map[string]string `json:"labels"`
			Counter bool              `json:"counter"`
			Mean    float64           `json:"mean"`
			Every   [][2]float64      `json:"every"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("line %d is no series: %w", len(all)+1, err)
		}
		found := &series{
			labels: labels.FromMap(line.Labels), counter: line.Counter, mean: line.Mean,
			random: rand.New(rand.NewPCG(1, uint64(len(all)))), // the same history every time
		}
		for index, each := range line.Every {
			ends := until
			if index+1 < len(line.Every) {
				ends = before(until, line.Every[index+1][0])
			}
			found.spans = append(found.spans, span{before(until, each[0]), ends, time.Duration(each[1] * float64(time.Second))})
		}
		if len(found.spans) == 0 {
			return nil, fmt.Errorf("line %d does not say how fine the series is", len(all)+1)
		}
		all = append(all, found)
	}
	return all, lines.Err()
}

func before(end time.Time, hours float64) time.Time {
	return end.Add(-time.Duration(hours * float64(time.Hour)))
}

// write makes one block, and returns its number of samples; none at all where no series has any.
func write(directory string, all []*series, start, end time.Time) (int, error) {
	writer, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), directory, 2*block.Milliseconds())
	if err != nil {
		return 0, err
	}
	defer writer.Close()
	count := 0
	for _, each := range all {
		appender := writer.Appender(context.Background())
		for _, span := range each.spans {
			for now := later(span.from, start).Truncate(span.every); now.Before(end) && now.Before(span.until); now = now.Add(span.every) {
				if now.Before(start) || now.Before(span.from) {
					continue
				}
				if _, err := appender.Append(0, each.labels, now.UnixMilli(), each.at(now)); err != nil {
					return count, err
				}
				count++
			}
		}
		if err := appender.Commit(); err != nil {
			return count, err
		}
	}
	if count == 0 {
		return 0, nil
	}
	_, err = writer.Flush(context.Background())
	return count, err
}

func later(left, right time.Time) time.Time {
	if left.After(right) {
		return left
	}
	return right
}

// at is the value at a time; times are asked for in order.
func (s *series) at(now time.Time) float64 {
	day := 1 + 0.6*math.Sin(2*math.Pi*float64(now.Unix()%86400)/86400)
	if !s.counter {
		return s.mean * day * (0.8 + 0.4*s.random.Float64())
	}
	if !s.last.IsZero() {
		s.value += math.Floor(s.mean*day*now.Sub(s.last).Seconds()*2*s.random.Float64() + 0.5)
	}
	s.last = now
	return s.value
}
