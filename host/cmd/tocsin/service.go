package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-net/tocsin/host/app"
)

// configFlag adds -c.
func configFlag(c *cobra.Command, path *string) {
	c.Flags().StringVarP(path, "config", "c", "tocsin.toml", "configuration file")
}

func runCommand(s app.Streams) *cobra.Command {
	o := app.RunOptions{Streams: s}
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the service: read traffic, check it, deliver the alerts",
		Long: `run reads the capture named with -r, runs the configured checks, stores each alert with its deliveries in the database and
sends them. When the capture ends it waits until everything that can be sent now is sent, and exits. Without -r it delivers what
the database still holds and goes on until SIGTERM or Ctrl-C; what is in flight then ends or goes back to the queue.`,
		Example: `  tocsin run -c tocsin.toml -r traffic.pcap
  tocsin run -c /etc/tocsin/tocsin.toml`,
		RunE: func(c *cobra.Command, _ []string) error { return app.Run(c.Context(), o) },
	}
	configFlag(c, &o.Config)
	c.Flags().StringVarP(&o.File, "read", "r", "", "capture to read: pcap, pcapng, gzip of either, or - for standard input")
	c.Flags().StringVar(&o.LogLevel, "log-level", "info", "debug, info, warn or error")
	c.Flags().StringVar(&o.LogFormat, "log-format", "", "text or json (default: text on a terminal, JSON otherwise)")
	c.Flags().DurationVar(&o.Wait, "wait", 30*time.Second, "with -r: how long to wait at the end for deliveries that are tried again")
	c.Flags().BoolVarP(&o.Quiet, "quiet", "q", false, "no progress on standard error")
	_ = c.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// lister makes a "list" command for something that the configuration or the database holds.
func lister(s app.Streams, short, example string, list func(*cobra.Command, app.Listing) error) *cobra.Command {
	l := app.Listing{Streams: s}
	c := &cobra.Command{
		Use: "list", Short: short, Example: example,
		RunE: func(c *cobra.Command, _ []string) error { return list(c, l) },
	}
	configFlag(c, &l.Config)
	formatFlag(c, &l.Format)
	return c
}

func endpointCommand(s app.Streams) *cobra.Command {
	c := &cobra.Command{Use: "endpoint", Short: "The configured endpoints"}
	c.AddCommand(endpointTestCommand(s))
	c.AddCommand(lister(s, "List the configured endpoints", "  tocsin endpoint list -c tocsin.toml",
		func(c *cobra.Command, l app.Listing) error { return app.ListEndpoints(c.Context(), l) }))
	return c
}

func recipientCommand(s app.Streams) *cobra.Command {
	c := &cobra.Command{Use: "recipient", Short: "The configured recipients"}
	c.AddCommand(recipientTestCommand(s), previewCommand(s))
	c.AddCommand(lister(s, "List the configured recipients with what they got", "  tocsin recipient list -c tocsin.toml",
		func(c *cobra.Command, l app.Listing) error { return app.ListRecipients(c.Context(), l) }), recipientShow(s))
	return c
}

func recipientShow(s app.Streams) *cobra.Command {
	l := app.Listing{Streams: s}
	c := &cobra.Command{
		Use: "show NAME", Short: "Show what a recipient gets, and what became of its alerts", Args: cobra.ExactArgs(1),
		Example: "  tocsin recipient show soc-chat",
		RunE:    func(c *cobra.Command, args []string) error { return app.ShowRecipient(c.Context(), l, args[0]) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return app.RecipientNames(l.Config), cobra.ShellCompDirectiveNoFileComp
		},
	}
	configFlag(c, &l.Config)
	c.Flags().StringVar(&l.Format, "format", "", "text or jsonl")
	return c
}

func deliveriesCommand(s app.Streams) *cobra.Command {
	var filter app.DeliveryFilter
	list := lister(s, "List deliveries, newest first", "  tocsin deliveries list --state dead\n  tocsin deliveries list --recipient ops --limit 20 --format jsonl",
		func(c *cobra.Command, l app.Listing) error { return app.ListDeliveries(c.Context(), l, filter) })
	list.Flags().StringVar(&filter.State, "state", "", "queued, leased, delivered, accepted, duplicate, dead, skipped, digested or silenced")
	list.Flags().StringVar(&filter.Recipient, "recipient", "", "only this recipient's")
	list.Flags().StringVar(&filter.Endpoint, "endpoint", "", "only this endpoint's")
	list.Flags().IntVar(&filter.Limit, "limit", 100, "at most so many; 0 means all")
	_ = list.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"queued", "leased", "delivered", "accepted", "duplicate", "dead", "skipped", "digested", "silenced"}, cobra.ShellCompDirectiveNoFileComp))

	var config string
	show := &cobra.Command{
		Use: "show ID", Short: "Show one delivery with its alert and every attempt", Args: cobra.ExactArgs(1),
		Example: "  tocsin deliveries show 0192f0c1-8a3e-7c51-9d0e-3f6f3b1c2a44",
		RunE: func(c *cobra.Command, args []string) error {
			return app.ShowDelivery(c.Context(), app.Listing{Streams: s, Config: config}, args[0])
		},
	}
	configFlag(show, &config)

	var dead bool
	retry := &cobra.Command{
		Use: "retry [ID ...]", Short: "Queue dead deliveries again", Args: cobra.ArbitraryArgs,
		Long:    "retry queues dead deliveries again under the same ids: those named, or all with --dead. They are sent by the next tocsin run.",
		Example: "  tocsin deliveries retry 0192f0c1-8a3e-7c51-9d0e-3f6f3b1c2a44\n  tocsin deliveries retry --dead",
		RunE: func(c *cobra.Command, args []string) error {
			return app.RetryDeliveries(c.Context(), app.Listing{Streams: s, Config: config}, args, dead)
		},
	}
	configFlag(retry, &config)
	retry.Flags().BoolVar(&dead, "dead", false, "all dead deliveries")

	c := &cobra.Command{Use: "deliveries", Short: "The ledger: what was sent where, and the dead letters"}
	c.AddCommand(list, show, retry)
	return c
}

func configCommand(s app.Streams) *cobra.Command {
	var path string
	check := &cobra.Command{
		Use: "check", Short: "Check the configuration, plug-ins and parameters; nothing is sent",
		Example: "  tocsin config check -c tocsin.toml",
		RunE:    func(c *cobra.Command, _ []string) error { return app.CheckConfig(c.Context(), s, path) },
	}
	configFlag(check, &path)
	example := &cobra.Command{
		Use: "example", Short: "Print a commented example of a configuration",
		Example: "  tocsin config example > tocsin.toml",
		RunE:    func(*cobra.Command, []string) error { return app.ExampleConfig(s) },
	}
	c := &cobra.Command{Use: "config", Short: "The configuration file"}
	c.AddCommand(check, example)
	return c
}
