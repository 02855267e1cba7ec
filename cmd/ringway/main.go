// Command ringway is the SIP-over-WebSocket gateway: flags, verbs and signals;
// everything else is package gateway.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // what was asked for did not work
	exitUsage  = 2 // what was asked for is not understood
)

// version is set by the linker: -X main.version=…
var version string

type verbs struct {
	Run   configArg `cmd:"" help:"Run the gateway."`
	Demo  struct{}  `cmd:"" help:"Run on built-in defaults, with a page of two phones on 127.0.0.1."`
	Check configArg `cmd:"" help:"Say what is wrong or doubtful in a configuration."`
	User  struct {
		Hash struct {
			Address string `arg:"" name:"NAME@DOMAIN" help:"The user's address."`
		} `cmd:"" help:"Print a user's lines for the users file; the password comes from the terminal or stdin."`
	} `cmd:"" help:"Users."`
	Route struct {
		Test routeTest `cmd:"" help:"Say which route a call takes and what leaves, or run a file of expectations."`
	} `cmd:"" help:"Routes."`
	Version struct{} `cmd:"" help:"Print the version."`
}

type configArg struct {
	Config string `arg:"" name:"CONFIG" help:"The YAML file."`
}

// app is one run of the command.
type app struct {
	stdin          *os.File
	stdout, stderr io.Writer
	newServer      func(*gateway.Config, zerolog.Logger) (server, error)
	signals        <-chan os.Signal // nil until serve asks for them: other verbs end as any program does
	exit           func(code int)   // at once
	drain          time.Duration    // how long calls that are being set up may take to finish
}

func newApp() *app {
	return &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, newServer: newServer, exit: os.Exit, drain: 30 * time.Second}
}

func main() { os.Exit(newApp().main(os.Args[1:])) }

// leave carries the exit code of --help out of the parser.
type leave int

func (a *app) main(args []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(leave)
			if !ok {
				panic(r)
			}
			code = int(c)
		}
	}()
	var v verbs
	parser, err := kong.New(&v, kong.Name("ringway"), kong.Description("SIP-over-WebSocket gateway."), kong.UsageOnError(),
		kong.Writers(a.stdout, a.stderr), kong.Exit(func(code int) { panic(leave(code)) }))
	if err != nil {
		panic(err) // the verbs above contradict each other
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(a.stderr, "ringway: %v; see ringway --help\n", err)
		return exitUsage
	}
	if err := a.do(ctx.Command(), &v); err != nil {
		return a.failed(err)
	}
	return exitOK
}

func (a *app) do(command string, v *verbs) error {
	switch command {
	case "run <CONFIG>":
		return a.run(v.Run.Config)
	case "demo":
		return a.demo()
	case "check <CONFIG>":
		return a.check(v.Check.Config)
	case "user hash <NAME@DOMAIN>":
		return a.userHash(v.User.Hash.Address)
	case "route test <CONFIG>":
		return a.routeTest(&v.Route.Test)
	case "version":
		fmt.Fprintln(a.stdout, "ringway", versionText())
		return nil
	}
	panic("no code for " + command)
}

// failed prints an error, a configuration's problems as they are, one per line.
func (a *app) failed(err error) int {
	var ps gateway.Problems
	if errors.As(err, &ps) {
		fmt.Fprintln(a.stderr, ps.Error())
		return exitFailed
	}
	fmt.Fprintf(a.stderr, "ringway: %v\n", err)
	var u usageError
	if errors.As(err, &u) {
		return exitUsage
	}
	return exitFailed
}

// usageError is an argument that is not understood.
type usageError struct{ error }

func (a *app) check(path string) error {
	cfg, err := gateway.Load(path)
	if err != nil {
		return err
	}
	for _, p := range cfg.Warnings() {
		fmt.Fprintln(a.stderr, "warning:", p)
	}
	switch n := len(cfg.Warnings()); n {
	case 0:
		fmt.Fprintf(a.stdout, "%s: ok\n", path)
	case 1:
		fmt.Fprintf(a.stdout, "%s: ok, 1 warning\n", path)
	default:
		fmt.Fprintf(a.stdout, "%s: ok, %d warnings\n", path, n)
	}
	return nil
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
