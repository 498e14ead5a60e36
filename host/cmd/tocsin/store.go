package main

import (
	"github.com/spf13/cobra"

	"github.com/tocsin-net/tocsin/host/app"
)

// storeCommands are the parts of `tocsin plugin` that work on the plug-in folder and the store of a configuration, beside a
// service that may be running.
func storeCommands(s app.Streams) []*cobra.Command {
	var o app.InstallOptions
	install := &cobra.Command{
		Use: "install PLUGIN.wasm", Short: "Check a plug-in and put it into the plug-in folder", Args: cobra.ExactArgs(1),
		Long: `install checks a plug-in and puts it into the plug-in folder, in place of the version that is there. A running service takes it
in at once. A new version that wants more than the old one was granted waits until it is granted.`,
		Example: "  tocsin plugin install telegram.wasm -c /etc/tocsin/tocsin.toml",
		RunE:    func(_ *cobra.Command, args []string) error { return app.InstallPlugin(s, args[0], o) },
	}
	configFlag(install, &o.Config)
	install.Flags().BoolVar(&o.Grant, "grant", false, "grant what it wants")
	install.Flags().BoolVar(&o.LiftQuarantine, "lift-quarantine", false, "try a version again that failed in use")

	var config string
	remove := &cobra.Command{
		Use: "remove NAME", Short: "Take a plug-in out of the plug-in folder and forget its grants", Args: cobra.ExactArgs(1),
		Example: "  tocsin plugin remove telegram",
		RunE:    func(_ *cobra.Command, args []string) error { return app.RemovePlugin(s, config, args[0]) },
	}
	grant := &cobra.Command{
		Use: "grant NAME", Short: "Grant what the plug-in in the folder wants", Args: cobra.ExactArgs(1),
		Long: `grant records that a plug-in may reach the hosts, and run the scripts, that its manifest asks for, with your name and the time.
A version that waited for it is taken in by a running service at once. Run it as the user that owns data_dir.`,
		Example: "  tocsin plugin inspect plugins.d/telegram.wasm    what it wants, and why\n  tocsin plugin grant telegram",
		RunE:    func(_ *cobra.Command, args []string) error { return app.GrantPlugin(s, config, args[0]) },
	}
	revoke := &cobra.Command{
		Use: "revoke NAME [WISH ...]", Short: "Take back what a plug-in was granted; without WISH, everything", Args: cobra.MinimumNArgs(1),
		Long: `revoke takes grants back. A running service obeys at once: requests that are not granted any more are not sent, and the alerts
wait. tocsin plugin list --format jsonl shows what is granted.`,
		Example: "  tocsin plugin revoke telegram '*://{endpoint.telegram_api_url}'\n  tocsin plugin revoke shell",
		RunE:    func(_ *cobra.Command, args []string) error { return app.RevokePlugin(s, config, args[0], args[1:]) },
	}
	all := []*cobra.Command{remove, grant, revoke}
	for _, c := range all {
		configFlag(c, &config)
	}
	return append(all, install)
}
