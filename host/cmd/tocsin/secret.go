package main

import (
	"github.com/spf13/cobra"

	"github.com/tocsin-net/tocsin/host/app"
)

func secretCommand(s app.Streams) *cobra.Command {
	var config string
	set := &cobra.Command{
		Use: "set NAME", Short: "Store a secret, or replace its value", Args: cobra.ExactArgs(1),
		Long: `set stores a secret below data_dir, encrypted with age to the key in secret.key, which is made at the first use. On a
terminal it asks for the value without showing it; elsewhere the value is standard input without its last line break. A value
is never taken from the command line, where every user of the machine could see it.`,
		Example: "  tocsin secret set hook-password\n  tocsin secret set telegram-token < token.txt",
		RunE:    func(_ *cobra.Command, args []string) error { return app.SetSecret(s, config, args[0]) },
	}
	var force bool
	remove := &cobra.Command{
		Use: "remove NAME", Short: "Forget a secret that nothing uses", Args: cobra.ExactArgs(1),
		Example: "  tocsin secret remove hook-password",
		RunE:    func(_ *cobra.Command, args []string) error { return app.RemoveSecret(s, config, args[0], force) },
	}
	remove.Flags().BoolVar(&force, "force", false, "also one that the configuration names")
	rotate := &cobra.Command{
		Use: "rotate", Short: "Make a new key and encrypt every secret to it", Args: cobra.NoArgs,
		Long: `rotate makes a new key in secret.key and encrypts every secret to it, in steps of which each can be cut off without a loss.
The values stay as they are: where one may be known to others, replace it at the service and with tocsin secret set.`,
		Example: "  tocsin secret rotate -c tocsin.toml",
		RunE:    func(*cobra.Command, []string) error { return app.RotateSecrets(s, config) },
	}
	for _, c := range []*cobra.Command{set, remove, rotate} {
		configFlag(c, &config)
	}
	c := &cobra.Command{
		Use: "secret", Short: "Secrets, kept encrypted, that parameters name as secret:NAME",
		Long: `secret keeps passwords and tokens out of tocsin.toml: a parameter that is written as "secret:NAME" stands for the value
stored under that name. References of two other kinds need no store: "file:PATH" and "env:NAME".`,
	}
	c.AddCommand(set, lister(s, "List the secrets by name, when each was set, and what uses it; never a value", "  tocsin secret list",
		func(_ *cobra.Command, l app.Listing) error { return app.ListSecrets(l) }), remove, rotate)
	return c
}
