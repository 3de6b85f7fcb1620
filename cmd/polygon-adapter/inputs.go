package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
)

// input is a file that is to be played.
type input struct {
	path     string
	pool     dex.Address // given before the =
	inFolder bool        // found in a folder, so it is passed over if it is of another kind
}

// inputs are all of them, with what is known about their pools.
type inputs struct {
	files   []input
	opened  []dex.Source // of files, for the first round: a pipe cannot be opened twice
	pools   *dex.Pools
	market  func() *dex.Synthetic // instead of files
	skipped int                   // files of folders that hold no events
	failed  []error               // of files of folders that cannot be played
}

// openInputs finds and opens the files, so that all that is wrong with them is said before anything is published.
func openInputs(o options, stderr io.Writer) (*inputs, error) {
	switch {
	case o.synthetic && len(o.args) > 0:
		return nil, cli.UsageError("--synthetic plays no files, but %q is given", o.args[0])
	case o.synthetic && o.pools != "":
		return nil, cli.UsageError("--synthetic knows its own pools, but --pools %q is given", o.pools)
	case !o.synthetic && len(o.args) == 0:
		return nil, cli.WithHint(cli.UsageError("no files"), "name files or folders of events, or play a made-up market: polygon-adapter --synthetic 1")
	case o.synthetic:
		events := o.events
		if events == 0 && !o.loop {
			events = syntheticEvents
		}
		return &inputs{pools: dex.SyntheticPools(), market: func() *dex.Synthetic { return dex.NewSynthetic(o.seed, events) }}, nil
	}
	files, err := findFiles(o.args)
	if err != nil {
		return nil, err
	}
	in := &inputs{files: files}
	if in.pools, err = loadPools(o.pools, files); err != nil {
		return nil, err
	}
	return in, in.openFiles(stderr)
}

// findFiles takes the arguments apart and lists folders.
func findFiles(args []string) ([]input, error) {
	var files []input
	var faults []error
	for _, arg := range args {
		in, err := splitArgument(arg)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(in.path)
		switch {
		case err != nil:
			faults = append(faults, err)
		case !info.IsDir():
			files = append(files, in)
		case in.pool != (dex.Address{}):
			return nil, cli.UsageError("%q: a pool is given for a folder, whose files may be several pools'", arg)
		default:
			found, err := rawFiles(in.path)
			if err != nil {
				return nil, err
			}
			files = append(files, found...)
		}
	}
	return files, fileHint(errors.Join(faults...))
}

// splitArgument reads [0xPOOL=]FILE. A file whose name has a = in it can be given as ./0x...=...
func splitArgument(arg string) (input, error) {
	pool, path, given := strings.Cut(arg, "=")
	if !given || !strings.HasPrefix(pool, "0x") {
		return input{path: arg}, nil
	}
	address, err := dex.ParseAddress(pool)
	if err != nil {
		return input{}, cli.UsageError("%q: the pool before the = : %w", arg, err)
	}
	if path == "" {
		return input{}, cli.UsageError("%q: no file after the =", arg)
	}
	return input{path: path, pool: address}, nil
}

func rawFiles(folder string) ([]input, error) {
	var files []input
	for _, pattern := range []string{"*.raw.csv", "*.raw.csv.gz"} {
		names, err := fs.Glob(os.DirFS(folder), pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			files = append(files, input{path: filepath.Join(folder, name), inFolder: true})
		}
	}
	slices.SortFunc(files, func(a, b input) int { return strings.Compare(a.path, b.path) })
	if len(files) == 0 {
		return nil, cli.WithHint(fmt.Errorf("folder %s has no *.raw.csv or *.raw.csv.gz", folder),
			"a folder stands for its raw logs alone; name decoded files (*.events.csv.gz) themselves")
	}
	return files, nil
}

// loadPools reads the pools file given, or else those beside the files and in $MYC_DATA; of those, what comes first holds.
func loadPools(given string, files []input) (*dex.Pools, error) {
	if given != "" {
		pools, err := dex.LoadPools(given)
		return pools, cli.WithHint(err, "%s", dex.PoolsHint)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, filepath.Join(filepath.Dir(f.path), "pools.json"))
	}
	if data := os.Getenv("MYC_DATA"); data != "" {
		paths = append(paths, filepath.Join(data, "dex", "pools.json"))
	}
	all := dex.NewPools()
	seen := map[string]bool{}
	for _, path := range paths {
		if seen[path] {
			continue
		}
		seen[path] = true
		pools, err := dex.LoadPools(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, cli.WithHint(err, "%s", dex.PoolsHint)
		}
		all.AddUnknown(pools)
	}
	return all, nil
}

// openFiles opens each file and takes those out that a folder holds beside events. What is wrong with a file that was named
// is an error; what is wrong with one that a folder holds is told, and kept for the end.
func (in *inputs) openFiles(stderr io.Writer) error {
	var faults []error
	kept := in.files[:0]
	for _, f := range in.files {
		s, err := f.open(in.pools)
		switch {
		case err == nil:
			kept = append(kept, f)
			in.opened = append(in.opened, s)
		case f.inFolder && errors.Is(err, dex.ErrNotEvents):
			fmt.Fprintf(stderr, "polygon-adapter: passed over: %v\n", err)
			in.skipped++
		case f.inFolder:
			fmt.Fprintf(stderr, "polygon-adapter: warning: left out: %v\n", err)
			in.failed = append(in.failed, err)
		default:
			faults = append(faults, err)
		}
	}
	in.files = kept
	err := fileHint(errors.Join(faults...))
	if err == nil && len(kept) == 0 {
		if err = in.leftOut(); err == nil {
			err = cli.WithHint(errors.New("no file with DEX events is left"), "name the files themselves")
		}
	}
	if err != nil {
		in.close()
	}
	return err
}

// leftOut is what is wrong with the files of folders that could not be played.
func (in *inputs) leftOut() error {
	if len(in.failed) == 0 {
		return nil
	}
	return cli.WithHint(fmt.Errorf("files of folders left out: %d\n%w", len(in.failed), errors.Join(in.failed...)),
		"%s", cli.Hint(fileHint(in.failed[0])))
}

// close closes what was opened and not played.
func (in *inputs) close() error {
	err := dex.NewMerge(in.opened, nil).Close()
	in.opened = nil
	return err
}

func fileHint(err error) error {
	switch {
	case errors.Is(err, dex.ErrUnknownPool):
		return cli.WithHint(err, "give the pool as 0xPOOL=FILE, or name a pools file that has it with --pools")
	case errors.Is(err, dex.ErrNotEvents):
		return cli.WithHint(err, "what can be read are *.raw.csv[.gz] and *.events.csv[.gz] of DEX pools")
	case errors.Is(err, fs.ErrNotExist):
		return cli.WithHint(err, "name files or folders of events, or play a made-up market: polygon-adapter --synthetic 1")
	case errors.Is(err, fs.ErrPermission):
		return cli.WithHint(err, "this user must be allowed to read it")
	case err != nil && cli.Hint(err) == "":
		return cli.WithHint(err, "the file is damaged: record or copy it again")
	}
	return err
}

func (f input) open(pools *dex.Pools) (dex.Source, error) {
	return dex.OpenFile(f.path, dex.OpenOptions{Pool: f.pool, Pools: pools})
}

// round opens all for one round of playing; market is nil for files.
func (in *inputs) round(report func(*dex.RowError)) (m *dex.Merge, market *dex.Synthetic, err error) {
	if in.market != nil {
		market = in.market()
		return dex.NewMerge([]dex.Source{market}, report), market, nil
	}
	if in.opened == nil {
		for _, f := range in.files {
			s, err := f.open(in.pools)
			if err != nil {
				return nil, nil, errors.Join(err, in.close())
			}
			in.opened = append(in.opened, s)
		}
	}
	m, in.opened = dex.NewMerge(in.opened, report), nil
	return m, nil, nil
}
