package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/tocsin-net/tocsin/host/app"
	"github.com/tocsin-net/tocsin/host/demo"
)

// formatFlag adds --format with its completion.
func formatFlag(c *cobra.Command, format *string) {
	c.Flags().StringVar(format, "format", "", "jsonl, table or csv (default: a table on a terminal, JSON lines otherwise)")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"jsonl", "table", "csv"}, cobra.ShellCompDirectiveNoFileComp))
}

// readingFlags adds the flags of the commands that read a capture.
func readingFlags(c *cobra.Command, r *app.Reading, local *string) {
	c.Flags().StringVarP(&r.File, "read", "r", "", "capture to read: pcap, pcapng, gzip of either, or - for standard input")
	c.Flags().StringVar(local, "local-networks", "", "local networks as CIDR,CIDR,... (default: the private ranges)")
	c.Flags().BoolVarP(&r.Quiet, "quiet", "q", false, "no progress and no summary on standard error")
	formatFlag(c, &r.Format)
}

func networks(c *cobra.Command, s string) []string {
	if !c.Flags().Changed("local-networks") {
		return nil
	}
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func flowsCommand(s app.Streams) *cobra.Command {
	r := app.Reading{Streams: s}
	var local string
	c := &cobra.Command{
		Use:   "flows -r FILE",
		Short: "Print the flows of a capture",
		Example: `  tocsin flows -r traffic.pcap
  tocsin flows -r traffic.pcapng.gz --format csv > flows.csv
  zcat big.pcap.gz | tocsin flows -r - | jq -r 'select(.protocol == "TLS") | .hostname'`,
		RunE: func(c *cobra.Command, _ []string) error {
			r.LocalNetworks = networks(c, local)
			return app.Flows(c.Context(), r)
		},
	}
	readingFlags(c, &r, &local)
	return c
}

func alertsCommand(s app.Streams) *cobra.Command {
	r := app.Reading{Streams: s}
	var local string
	var sel app.Selection
	c := &cobra.Command{
		Use:   "alerts -r FILE",
		Short: "Print the alerts that the checks raise on a capture; nothing is stored or sent",
		Example: `  tocsin alerts -r traffic.pcap
  tocsin alerts -r traffic.pcap --checks flow/tls_certificate_expired,host/syn_scan --local-networks 192.0.2.0/24`,
		RunE: func(c *cobra.Command, _ []string) error {
			r.LocalNetworks = networks(c, local)
			return app.Alerts(c.Context(), r, sel)
		},
	}
	readingFlags(c, &r, &local)
	c.Flags().StringVar(&sel.Checks, "checks", "", "all, none, or flow/KEY,host/KEY,... (default: the checks that are on by default)")
	c.Flags().StringVarP(&sel.Config, "config", "c", "", "take checks, their parameters and the local networks from a configuration")
	_ = c.RegisterFlagCompletionFunc("checks", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return append([]string{"all", "none"}, app.CheckKeys()...), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

func checksCommand(s app.Streams) *cobra.Command {
	var format string
	list := &cobra.Command{
		Use: "list", Short: "List the checks",
		Example: "  tocsin checks list\n  tocsin checks list --format jsonl | jq -r 'select(.default_on) | .check'",
		RunE:    func(*cobra.Command, []string) error { return app.ListChecks(s, format) },
	}
	formatFlag(list, &format)
	show := &cobra.Command{
		Use: "show CHECK", Short: "Show all about one check", Args: cobra.ExactArgs(1),
		Example: "  tocsin checks show host/syn_scan",
		RunE:    func(_ *cobra.Command, args []string) error { return app.ShowCheck(s, args[0]) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return app.CheckKeys(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	c := &cobra.Command{Use: "checks", Short: "The checks that tocsin knows"}
	c.AddCommand(list, show)
	return c
}

func demoCommand(s app.Streams) *cobra.Command {
	var o demo.Options
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole way of an alert: build the plug-ins, run the example capture, deliver to local endpoints",
		Long: `demo builds the first-party plug-ins, starts an HTTP sink, a stand-in for Telegram's Bot API and a script folder, all on
loopback and in a temporary folder, runs the checks on the example capture and shows what arrived where. It needs a clone of the
repository and Go; nothing leaves this machine.`,
		Example: "  go run ./host/cmd/tocsin demo\n  tocsin demo --keep",
		RunE:    func(c *cobra.Command, _ []string) error { return demo.Run(c.Context(), s, o) },
	}
	c.Flags().StringVarP(&o.Capture, "read", "r", "", "another capture than the example")
	c.Flags().BoolVar(&o.Keep, "keep", false, "keep the temporary folder with configuration, plug-ins and database, and print its name")
	return c
}
