// Command tocsin watches network traffic, runs checks on it and delivers the alerts. This folder turns flags into calls
// of package app and errors into exit codes, nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
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
		text, _, _ := strings.Cut(err.Error(), ": strconv.") // how Go reads a number tells users nothing
		if bad, ok := errors.AsType[*strconv.NumError](err); ok {
			switch {
			case bad.Func == "ParseBool":
				text += ": true or false is wanted"
			case errors.Is(bad, strconv.ErrRange):
				text += ": it is too large"
			default:
				text += ": a whole number is wanted"
			}
		}
		return &app.UsageError{Err: fmt.Errorf("%s (%s --help shows the flags)", text, c.CommandPath())}
	})
	root.AddCommand(runCommand(s), demoCommand(s), flowsCommand(s), alertsCommand(s), checksCommand(s),
		pluginCommand(s), endpointCommand(s), recipientCommand(s), deliveriesCommand(s), secretCommand(s), configCommand(s))
	root.InitDefaultCompletionCmd()
	strictArgs(root)
	root.SetHelpCommand(helpCommand(root))
	return root
}

// helpCommand is cobra's, but for its answer to a command that does not exist.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND ...]", Short: "Show what a command does",
		ValidArgsFunction: func(_ *cobra.Command, args []string, word string) (names []string, _ cobra.ShellCompDirective) {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, sub := range c.Commands() {
				if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), word) {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return &app.UsageError{Err: fmt.Errorf("there is no command %q (tocsin --help lists the commands)", "tocsin "+strings.Join(args, " "))}
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
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
			switch err := check(c, args); {
			case err == nil:
				return nil
			case len(args) == 0:
				return &app.UsageError{Err: fmt.Errorf("something is missing: usage is %q", c.UseLine())}
			default:
				return &app.UsageError{Err: fmt.Errorf("%q does not fit: usage is %q", strings.Join(args, " "), c.UseLine())}
			}
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
