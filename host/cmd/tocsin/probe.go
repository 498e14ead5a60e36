package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-net/tocsin/host/app"
)

// testFlags adds what both tests share.
func testFlags(c *cobra.Command, o *app.TestOptions) {
	configFlag(c, &o.Config)
	formatFlag(c, &o.Format)
	c.Flags().DurationVar(&o.Timeout, "timeout", 30*time.Second, "for all steps after config")
	c.Flags().StringVar(&o.Sample, "sample", "", "a part of the name of the sample alert to send (default: the first)")
	c.Flags().StringVar(&o.Code, "code", "", "the code that the last test message shows: it arrived; nothing is sent")
	c.Flags().StringVar(&o.LogLevel, "log-level", "warn", "debug, info, warn or error")
	_ = c.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
}

// codeGiven refuses --code without a code: a message would be sent, which --code promises not to do.
func codeGiven(c *cobra.Command, o *app.TestOptions) error {
	if c.Flags().Changed("code") && strings.TrimSpace(o.Code) == "" {
		return &app.UsageError{Err: errors.New("--code is empty: give the code that the last test message shows, or leave --code out to send another")}
	}
	return nil
}

const testHelp = `Each step is printed as it ends: its name, ok or failed, the time it took. Steps: config (the configuration and the plug-in),
dns, connect, tls, auth (does the service know us?), permission (may we write there?), payload (can the alert be put into a
request that the service takes?), post (was it taken?), and start for a script. The one that fails is named with what to do.
Some services take every message and show it later, if at all. For these a test message shows a code of four digits, and the step confirm
asks for it: type it in within ten minutes, or give it to the same command with --code. What is known is recorded, for tocsin recipient list and show.
It works beside a running service and leaves nothing in its ledger. Exit codes: 0 all well, 2 the configuration is wrong, 4 a step
failed, 1 stopped or something else.`

func endpointTestCommand(s app.Streams) *cobra.Command {
	o := app.TestOptions{Listing: app.Listing{Streams: s}}
	c := &cobra.Command{
		Use: "test NAME", Short: "Try an endpoint step by step; nothing is posted without --send", Args: cobra.ExactArgs(1),
		Long: `test checks an endpoint's configuration and runs what its plug-in offers to test one without posting. With --send it also
sends a sample alert, marked as a test, to the endpoint's first recipient.

` + testHelp,
		Example: "  tocsin endpoint test soc-bot\n  tocsin endpoint test hook --send --timeout 10s",
		PreRunE: func(c *cobra.Command, _ []string) error { return codeGiven(c, &o) },
		RunE:    func(c *cobra.Command, args []string) error { return app.TestEndpoint(c.Context(), o, args[0]) },
	}
	testFlags(c, &o)
	c.Flags().BoolVar(&o.Send, "send", false, "also send a test message to the endpoint's first recipient")
	return c
}

func recipientTestCommand(s app.Streams) *cobra.Command {
	o := app.TestOptions{Listing: app.Listing{Streams: s}}
	c := &cobra.Command{
		Use: "test NAME", Short: "Try a recipient step by step and send it a test message", Args: cobra.ExactArgs(1),
		Long: `test checks a recipient's configuration and its endpoint's, runs what the plug-in offers to test them without posting, and
then sends a sample alert that says of itself that it is a test: in its title, its message and, for programs, the key "test".

` + testHelp,
		Example: "  tocsin recipient test soc-chat\n  tocsin recipient test soc-chat --sample 'host, ends' --format jsonl\n  tocsin recipient test teams --code 4821",
		PreRunE: func(c *cobra.Command, _ []string) error { return codeGiven(c, &o) },
		RunE:    func(c *cobra.Command, args []string) error { return app.TestRecipient(c.Context(), o, args[0]) },
	}
	testFlags(c, &o)
	return c
}

func previewCommand(s app.Streams) *cobra.Command {
	o := app.PreviewOptions{Listing: app.Listing{Streams: s}}
	c := &cobra.Command{
		Use: "preview NAME", Short: "Show the requests that an alert would cause, secrets redacted; nothing is sent", Args: cobra.ExactArgs(1),
		Long: `preview renders an alert as it would be sent to a recipient and prints every request: method, URL, headers and body, a mail,
syslog messages, or a script's arguments and input. Secrets stand as ‹secret:NAME›. With --format jsonl each request is one line in
the form of pdk/spec.`,
		Example: `  tocsin recipient preview soc-chat
  tocsin recipient preview soc-chat --sample 'host, ends' --locale it
  tocsin recipient preview soc-chat --alert 0192f0c1-8a3e-7c51-9d0e-3f6f3b1c2a44 --format jsonl`,
		RunE: func(c *cobra.Command, args []string) error { return app.PreviewRecipient(c.Context(), o, args[0]) },
	}
	configFlag(c, &o.Config)
	formatFlag(c, &o.Format)
	c.Flags().StringVar(&o.Alert, "alert", "", "the id of an alert, or of a delivery, in the ledger")
	c.Flags().StringVar(&o.Sample, "sample", "", "a part of a sample alert's name (default: the first)")
	c.Flags().StringVar(&o.Locale, "locale", "", "the language (default: the recipient's)")
	return c
}
