// Command reliability tries every fault of the suite on a real cluster, and writes
// docs/reliability.md. From the root of the repository:
//
//	go -C test run ./cmd/reliability -write ../docs/reliability.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/faults"
)

// settings are what the command line says.
type settings struct {
	short    bool
	parallel int
	only     regexp.Regexp
	within   time.Duration
	write    string
	dir      string
}

func main() {
	var s settings
	flag.BoolVar(&s.short, "short", false, "leave out the faults that take minutes")
	flag.IntVar(&s.parallel, "parallel", 8, "how many faults are tried at once")
	flag.TextVar(&s.only, "only", regexp.MustCompile(""), "try only faults whose name matches this regular `expression`, and none")
	flag.DurationVar(&s.within, "within", faults.RecoverWithin, "how long a recovery may take; more where other work shares the machine")
	flag.StringVar(&s.write, "write", "", "write the table into this `file`, between its marks")
	flag.StringVar(&s.dir, "dir", "", "keep the logs in this new `directory`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := tryAll(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "reliability:", err)
		os.Exit(1)
	}
}

// faults are those to try; the first is none.
func (s settings) faults() []faults.Fault {
	var chosen []faults.Fault
	for i, f := range faults.All() {
		if i > 0 && (!s.only.MatchString(f.Name) || f.Long && s.short) {
			continue
		}
		if f.Root && os.Geteuid() != 0 {
			fmt.Fprintf(os.Stderr, "%s: skipped, since it needs the rights of root\n", f.Name)
			continue
		}
		chosen = append(chosen, f)
	}
	return chosen
}

func tryAll(ctx context.Context, s settings) (err error) {
	dir, cleanUp, err := s.directory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanUp()) }()
	lab, stop, err := faults.NewLab(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	chosen := s.faults()
	results := make([]faults.Result, len(chosen))
	began := time.Now()
	failed := s.try(ctx, lab, chosen, results)
	fmt.Fprintf(os.Stderr, "%d faults in %.0f s\n", len(chosen), time.Since(began).Seconds())
	failed = errors.Join(failed, s.tryLateAgain(chosen, results, func(f faults.Fault) (faults.Result, error) { return tryOne(ctx, lab, f) }))
	results = tried(results)
	return errors.Join(failed, s.print(results), s.problems(results))
}

// directory makes the one for all files. Unless it was asked for it goes again.
func (s settings) directory() (dir string, cleanUp func() error, err error) {
	if s.dir != "" {
		dir, err := filepath.Abs(s.dir)
		return dir, func() error { return nil }, errors.Join(err, os.MkdirAll(s.dir, 0o750))
	}
	dir, err = os.MkdirTemp("", "reliability-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

// try tries the faults: side by side, and after that one after the other those that
// break what all need.
func (s settings) try(ctx context.Context, lab *faults.Lab, chosen []faults.Fault, results []faults.Result) error {
	errs := make([]error, len(chosen))
	try := func(i int) { results[i], errs[i] = tryOne(ctx, lab, chosen[i]) }
	var group errgroup.Group
	group.SetLimit(s.parallel)
	// The longest first, or all would wait for it.
	for _, long := range []bool{true, false} {
		for i, f := range chosen {
			if !f.Alone && f.Long == long {
				group.Go(func() error {
					try(i)
					return nil
				})
			}
		}
	}
	_ = group.Wait() // the errors are in errs
	for i, f := range chosen {
		if f.Alone {
			try(i)
		}
	}
	return errors.Join(errs...)
}

func tryOne(ctx context.Context, lab *faults.Lab, f faults.Fault) (faults.Result, error) {
	result, err := lab.Try(ctx, f)
	if err != nil {
		err = fmt.Errorf("%s: %w", f.Name, err)
		fmt.Fprintln(os.Stderr, err)
		return faults.Result{}, err
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", result.Fault, result)
	return result, nil
}

// moreTries is how often a fault is tried again that took too long.
const moreTries = 2

// tryLateAgain tries those faults again, alone, that had no other problem than the
// time: it may be that of the machine. The median counts.
func (s settings) tryLateAgain(chosen []faults.Fault, results []faults.Result, try func(faults.Fault) (faults.Result, error)) error {
	lag := faults.Lag(tried(results))
	for i := range results {
		if results[i].Fault == "" || len(results[i].Miscounts()) > 0 || results[i].Late(s.within, lag) == "" {
			continue
		}
		tries := []faults.Result{results[i]}
		for range moreTries {
			again, err := try(chosen[i])
			if err != nil {
				return err
			}
			tries = append(tries, again)
		}
		results[i] = faults.Median(tries)
	}
	return nil
}

// tried are the results that there are.
func tried(results []faults.Result) []faults.Result {
	return slices.DeleteFunc(slices.Clone(results), func(r faults.Result) bool { return r.Fault == "" })
}

// problems are what the results say that must not be.
func (s settings) problems(results []faults.Result) error {
	var errs []error
	lag := faults.Lag(results)
	for _, r := range results {
		problems := r.Miscounts()
		if late := r.Late(s.within, lag); late != "" {
			problems = append(problems, late)
		}
		for _, problem := range problems {
			errs = append(errs, fmt.Errorf("%s: %s", r.Fault, problem))
		}
	}
	return errors.Join(errs...)
}
