// Command tocsin watches network traffic, runs checks on it and delivers the alerts. This folder turns flags into calls
// of package app and errors into exit codes, nothing else.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tocsin-net/tocsin/host/app"
)

func main() {
	os.Exit(run(os.Args[1:], app.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// run is main with its surroundings given, for tests.
func run(args []string, s app.Streams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		printError(s.Err, err)
	}
	return app.ExitCode(err)
}

// printError prints each of several joined errors on lines of its own.
func printError(w io.Writer, err error) {
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		_, _ = fmt.Fprintf(w, "tocsin: %s\n", line)
	}
}

func newRoot(s app.Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "tocsin",
		Short: "Watch network traffic, run checks on it, deliver the alerts",
		Long: `tocsin reads network traffic, builds flows, runs behavioural checks on them and delivers the alerts through
endpoints that are sandboxed WebAssembly modules.`,
		Example: `  tocsin demo                                  the whole way of an alert, on an example capture
  tocsin flows -r traffic.pcap                 what a capture holds
  tocsin alerts -r traffic.pcap --checks all   what the checks say of it
  tocsin run -c tocsin.toml -r traffic.pcap    deliver the alerts to the configured recipients`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &app.UsageError{Err: fmt.Errorf("%w (%s --help shows the flags)", err, c.CommandPath())}
	})
	root.AddCommand(runCommand(s), demoCommand(s), flowsCommand(s), alertsCommand(s), checksCommand(s),
		pluginCommand(s), endpointCommand(s), recipientCommand(s), deliveriesCommand(s), secretCommand(s), configCommand(s))
	strictArgs(root)
	return root
}

// strictArgs turns a wrong number of arguments, or a subcommand that does not exist, into a usage error.
func strictArgs(c *cobra.Command) {
	check := c.Args
	if c.HasSubCommands() && c.RunE == nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			text := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				text += fmt.Sprintf(": did you mean %q?", near[0])
			}
			return &app.UsageError{Err: fmt.Errorf("%s (%s --help lists the commands)", text, c.CommandPath())}
		}
		c.Args = cobra.ArbitraryArgs // RunE tells about them
		c.SuggestionsMinimumDistance = 2
	} else {
		c.Args = func(c *cobra.Command, args []string) error {
			if check == nil {
				check = cobra.NoArgs
			}
			if err := check(c, args); err != nil {
				return &app.UsageError{Err: fmt.Errorf("%w: usage is %q", err, c.UseLine())}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		strictArgs(sub)
	}
}

// version is the module's version as the go tool recorded it, with the commit where there is one.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	v := info.Main.Version
	for _, st := range info.Settings {
		if st.Key == "vcs.revision" && len(st.Value) >= 12 && !strings.Contains(v, st.Value[:12]) {
			v += " (" + st.Value[:12] + ")"
		}
	}
	return v + " " + info.GoVersion
}
