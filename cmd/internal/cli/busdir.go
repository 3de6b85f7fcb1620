package cli

import (
	"context"
	"os"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/tools"
	"github.com/spf13/cobra"
)

// BusDir returns the bus directory to look into: the one given, else that of the broker that answers at the socket, else
// $MYC_DIR, else the default one. A broker that nobody named, at the default socket, comes after $MYC_DIR. cmd is the
// command that runs, with the flag of [SocketFlag].
func BusDir(cmd *cobra.Command, dir, socket string) string {
	named := cmd.Flags().Changed("socket") || os.Getenv("MYC_SOCKET") != ""
	switch {
	case dir != "":
		return dir
	case !named && os.Getenv("MYC_DIR") != "":
		return os.Getenv("MYC_DIR")
	}
	// A broker that is stopped must not stop who looks at files.
	ctx, cancel := context.WithTimeout(cmd.Context(), Patience)
	defer cancel()
	conn, err := bus.Dial(ctx, bus.Options{Name: cmd.Root().Name(), Socket: socket})
	if err != nil {
		dir = tools.DefaultDir()
		if cmd.Flags().Changed("socket") {
			Note(cmd, "no broker answers at %s: looking in %s", socket, dir)
		}
		return dir
	}
	defer conn.Close()
	return conn.Dir()
}
