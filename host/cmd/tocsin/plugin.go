package main

import (
	"github.com/spf13/cobra"

	"github.com/tocsin-net/tocsin/host/app"
)

func pluginCommand(s app.Streams) *cobra.Command {
	var out string
	build := &cobra.Command{
		Use: "build [NAME ...]", Short: "Build first-party plug-ins of a clone and pack them", Args: cobra.ArbitraryArgs,
		Example: "  tocsin plugin build --out plugins.d\n  tocsin plugin build telegram",
		RunE: func(c *cobra.Command, args []string) error {
			return app.BuildPlugins(c.Context(), s, args, out)
		},
	}
	build.Flags().StringVarP(&out, "out", "o", "plugins.d", "folder for the .wasm files")

	var packOut string
	pack := &cobra.Command{
		Use: "pack [MODULE.wasm] FOLDER", Short: "Put manifest, schema, templates and locales of FOLDER into a module", Args: cobra.RangeArgs(1, 2),
		Long: `pack writes one .wasm that carries everything in custom sections. The same input gives the same bytes.

Without a module it is the one that plug-ins without code share: those whose manifest says in [request] what to send. In a clone it is
built; elsewhere name any plug-in of that kind as the module.`,
		Example: "  tocsin plugin pack out.wasm manifests/telegram -o plugins.d/telegram.wasm\n  tocsin plugin pack my-pager/",
		RunE: func(cmd *cobra.Command, args []string) error {
			module := ""
			if len(args) == 2 {
				module = args[0]
			}
			return app.PackPlugin(cmd.Context(), s, module, args[len(args)-1], packOut)
		},
	}
	pack.Flags().StringVarP(&packOut, "out", "o", "", "the file to write, or the folder for NAME.wasm, named by the manifest (default: NAME.wasm here)")

	unpack := &cobra.Command{
		Use: "unpack PLUGIN.wasm FOLDER", Short: "Write a plug-in's parts as files, the development form", Args: cobra.ExactArgs(2),
		Example: "  tocsin plugin unpack telegram.wasm telegram/",
		RunE:    func(_ *cobra.Command, args []string) error { return app.UnpackPlugin(s, args[0], args[1]) },
	}
	var format, lang string
	inspect := &cobra.Command{
		Use: "inspect PLUGIN", Short: "Show what a plug-in says of itself, without running it", Args: cobra.ExactArgs(1),
		Long:    "inspect shows the set-up guide, the parameters and what the plug-in wants to reach.",
		Example: "  tocsin plugin inspect plugins.d/telegram.wasm\n  tocsin plugin inspect plugins.d/telegram.wasm --lang it",
		RunE:    func(_ *cobra.Command, args []string) error { return app.InspectPlugin(s, args[0], format, lang) },
	}
	inspect.Flags().StringVar(&lang, "lang", "en", "the language")
	completeLanguages(inspect)
	inspect.Flags().StringVar(&format, "format", "", "jsonl for one JSON object (default: text)")
	lint := &cobra.Command{
		Use: "lint PLUGIN ...", Short: "Find every mistake in a plug-in's package", Args: cobra.MinimumNArgs(1),
		Example: "  tocsin plugin lint plugins.d/*.wasm",
		RunE:    func(_ *cobra.Command, args []string) error { return app.LintPlugins(s, args) },
	}
	list := lister(s, "List the plug-ins of the plug-in folder", "  tocsin plugin list -c tocsin.toml",
		func(c *cobra.Command, l app.Listing) error { return app.ListPlugins(c.Context(), l) })
	c := &cobra.Command{Use: "plugin", Short: "Plug-ins: build, pack, inspect"}
	c.AddCommand(build, pack, unpack, inspect, lint, list)
	c.AddCommand(authorCommands(s)...)
	c.AddCommand(storeCommands(s)...)
	return c
}
