package bustest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/mycelium-bus/mycelium/bus/broker"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Start is for examples, which have no testing.TB: it runs a broker with topics in a temporary directory and returns its socket. Stop
// ends the broker and removes the directory. Tests use [New].
func Start(topics ...topic.Config) (socket string, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "bustest-")
	if err != nil {
		return "", nil, fmt.Errorf("bustest: %w", err)
	}
	config := broker.Defaults()
	config.Dir, config.Socket = filepath.Join(dir, "bus"), filepath.Join(dir, "socket")
	config.Topics, config.Logger = topics, slog.New(slog.DiscardHandler)
	b, err := broker.New(config)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("bustest: %w", err), os.RemoveAll(dir))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	return config.Socket, func() error {
		cancel()
		return errors.Join(<-ended, os.RemoveAll(dir))
	}, nil
}
