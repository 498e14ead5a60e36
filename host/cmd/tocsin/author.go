package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/tocsin-net/tocsin/host/app"
)

// authorCommands are the parts of `tocsin plugin` for those who write plug-ins.
func authorCommands(s app.Streams) []*cobra.Command {
	return []*cobra.Command{newPluginCommand(s), testPluginCommand(s), devPluginCommand(s), formPluginCommand(s)}
}

func newPluginCommand(s app.Streams) *cobra.Command {
	n := app.NewPlugin{Streams: s}
	languages := app.PluginLanguages()
	c := &cobra.Command{
		Use: "new NAME", Short: "Make a folder with a working endpoint to start from", Args: cobra.ExactArgs(1),
		Long: `new writes a folder with an endpoint that works: it builds, passes its test vectors and can be packed. It pushes
messages through ntfy; change it to fit your service.`,
		Example: "  tocsin plugin new --lang go pager\n  tocsin plugin new --lang rust pager --out ~/src/pager",
		RunE: func(_ *cobra.Command, args []string) error {
			n.Name = args[0]
			return n.Run()
		},
	}
	c.Flags().StringVar(&n.Language, "lang", "go", "the language: "+strings.Join(languages, ", "))
	c.Flags().StringVarP(&n.Dir, "out", "o", "", "the folder to make (default: NAME)")
	c.Flags().StringVar(&n.Clone, "clone", "", "for Go: the clone of tocsin to build against (default: the one at hand)")
	_ = c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions(languages, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func testPluginCommand(s app.Streams) *cobra.Command {
	t := app.TestPlugin{Streams: s}
	c := &cobra.Command{
		Use: "test FOLDER|FILE.wasm", Short: "Run a plug-in's test vectors in the sandbox", Args: cobra.ExactArgs(1),
		Long: `test runs the test vectors that a plug-in carries, as the host runs it: metered and without any access. An author's
folder, as plugin new makes it, is built first. The exit code is 1 if a vector fails.`,
		Example: "  tocsin plugin test pager\n  tocsin plugin test plugins.d/telegram.wasm --format jsonl",
		RunE: func(c *cobra.Command, args []string) error {
			t.Path = args[0]
			return t.Run(c.Context())
		},
	}
	c.Flags().BoolVar(&t.NoBuild, "no-build", false, "take an author's folder as it was built last")
	formatFlag(c, &t.Format)
	return c
}

func devPluginCommand(s app.Streams) *cobra.Command {
	d := app.DevPlugin{Streams: s}
	c := &cobra.Command{
		Use: "dev FOLDER", Short: "Build, test and show a plug-in again after each change", Args: cobra.ExactArgs(1),
		Long: `dev watches an author's folder. After each change it runs build.sh, checks the package, runs the test vectors in the
sandbox and shows what would be sent for a sample alert. Nothing is sent. Ctrl-C ends it.`,
		Example: `  tocsin plugin dev pager
  tocsin plugin dev pager --sample 'host, ends' --set recipient.topic=ops --install plugins.d`,
		RunE: func(c *cobra.Command, args []string) error {
			d.Dir = args[0]
			return d.Run(c.Context())
		},
	}
	c.Flags().StringVar(&d.Sample, "sample", "", "the sample alert, by a part of its name (default: a flow's)")
	c.Flags().StringVar(&d.Locale, "locale", "en", "the message's language")
	c.Flags().StringArrayVar(&d.Set, "set", nil, "a parameter, as endpoint.NAME=VALUE or recipient.NAME=VALUE; others are made up")
	c.Flags().StringVar(&d.Install, "install", "", "a plug-in folder that gets each build whose vectors pass")
	c.Flags().BoolVar(&d.Once, "once", false, "end after the first round; the exit code is 1 if it fails")
	return c
}

func formPluginCommand(s app.Streams) *cobra.Command {
	f := app.PluginForm{Streams: s}
	c := &cobra.Command{
		Use: "form FOLDER|FILE.wasm", Short: "Write a plug-in's form as a page to look at in a browser", Args: cobra.ExactArgs(1),
		Long: `form writes the form in which users will set up an endpoint or a recipient, as a page of its own without scripts. The
module need not be built. Values given with --set are shown as if they had been sent, with what is wrong with them; a name that
is given again adds a line.`,
		Example: `  tocsin plugin form pager --out form.html
  tocsin plugin form plugins.d/telegram.wasm --part recipient --lang it --set telegram_channel=@ops > form.html`,
		RunE: func(_ *cobra.Command, args []string) error {
			f.Path = args[0]
			return f.Run()
		},
	}
	parts := app.FormParts()
	c.Flags().StringVar(&f.Part, "part", parts[0], "the form: "+strings.Join(parts, " or "))
	c.Flags().StringVar(&f.Lang, "lang", "en", "the language")
	c.Flags().StringArrayVar(&f.Set, "set", nil, "a value to show, as NAME=VALUE")
	c.Flags().StringVarP(&f.File, "out", "o", "", "the file to write (default: standard output)")
	_ = c.RegisterFlagCompletionFunc("part", cobra.FixedCompletions(parts, cobra.ShellCompDirectiveNoFileComp))
	completeLanguages(c)
	return c
}

// completeLanguages completes --lang with the languages of the plug-in that the command line names.
func completeLanguages(c *cobra.Command) {
	_ = c.RegisterFlagCompletionFunc("lang", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return []string{"en", "it"}, cobra.ShellCompDirectiveNoFileComp
		}
		return app.PluginLanguagesOf(args[0]), cobra.ShellCompDirectiveNoFileComp
	})
}
