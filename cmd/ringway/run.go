package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/ringway/ringway/gateway"
)

// server is what a run needs of a gateway.
type server interface {
	// Run serves until ctx ends or Shutdown is done.
	Run(ctx context.Context) error
	// Ready is closed once everything that is to be listened on is open.
	Ready() <-chan struct{}
	// Reload looks at what may change while it serves: certificates.
	Reload()
	// Shutdown lets what is under way finish, at most until ctx ends.
	Shutdown(ctx context.Context) error
}

func newServer(cfg *gateway.Config, log zerolog.Logger) (server, error) { return gateway.New(cfg, log) }

func stopSignals() <-chan os.Signal {
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	return c
}

func (a *app) run(path string) error {
	cfg, err := gateway.Load(path)
	if err != nil {
		return err
	}
	log := a.logger(cfg.Log)
	for _, p := range cfg.Warnings() {
		log.Warn().Str("file", p.File).Int("line", p.Line).Str("key", p.Path).Msg(p.Text)
	}
	return a.serve(cfg, log, func() {})
}

// serve runs a gateway until a signal stops it. The first signal drains, the second
// one ends the process.
func (a *app) serve(cfg *gateway.Config, log zerolog.Logger, ready func()) error {
	cfg.Version = versionText()
	if a.signals == nil {
		a.signals = stopSignals()
	}
	gw, err := a.newServer(cfg, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- gw.Run(ctx) }()
	opened := gw.Ready()
	for {
		select {
		case err := <-ended:
			return err
		case <-opened:
			opened = nil
			notifySystemd("READY=1")
			ready()
		case sig := <-a.signals:
			if sig == syscall.SIGHUP { // a terminal that closed, or systemctl reload: no reason to cut calls
				log.Warn().Msg("SIGHUP: certificates are looked at; the rest of the configuration is read at the next start only")
				gw.Reload()
				continue
			}
			log.Info().Str("signal", sig.String()).Msg("stopping; a second signal ends at once")
			notifySystemd("STOPPING=1")
			return a.stop(gw, cancel, ended)
		}
	}
}

func (a *app) stop(gw server, cancel func(), ended <-chan error) error {
	ctx, done := context.WithTimeout(context.Background(), a.drain)
	defer done()
	drained := make(chan error, 1)
	go func() { drained <- gw.Shutdown(ctx) }()
	for {
		select {
		case err := <-drained:
			cancel()
			if runErr := <-ended; runErr != nil && !errors.Is(runErr, context.Canceled) {
				return runErr
			}
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("calls were cut off: not finished after %s", a.drain)
			}
			return err
		case sig := <-a.signals:
			if sig == syscall.SIGHUP {
				continue
			}
			a.exit(exitFailed)
			return nil
		}
	}
}

// logger writes lines for people on a terminal and JSON elsewhere, to stderr.
func (a *app) logger(l gateway.Log) zerolog.Logger {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	level, err := zerolog.ParseLevel(l.Level)
	if err != nil {
		level = zerolog.InfoLevel // Load lets no other word pass
	}
	out := a.stderr
	f, isFile := out.(*os.File)
	if l.Format == "console" || l.Format == "auto" && isFile && term.IsTerminal(int(f.Fd())) {
		out = zerolog.ConsoleWriter{Out: out, TimeFormat: "15:04:05.000", NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}

// notifySystemd says a state to the service manager (sd_notify(3)), if one listens.
// Nothing depends on it, so an error is no error.
func notifySystemd(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	if conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}); err == nil {
		defer conn.Close()
		_, _ = conn.Write([]byte(state))
	}
}
