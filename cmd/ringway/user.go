package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"github.com/ringway/ringway/gateway"
)

// userHash prints the two lines of a user for the users file.
func (a *app) userHash(address string) error {
	name, domain, ok := strings.Cut(address, "@")
	if err := gateway.CheckUserName(name); err != nil {
		return usageError{err}
	}
	if !ok || domain == "" || strings.ContainsAny(domain, ":@ /") {
		return usageError{fmt.Errorf("%q is no NAME@DOMAIN", address)}
	}
	password, err := a.password(address)
	if err != nil {
		return err
	}
	domain = strings.ToLower(domain)
	md5, sha256 := gateway.HashUser(name, domain, password)
	fmt.Fprintf(a.stdout, "%s:%s:%s\n%s:%s:%s\n", name, domain, md5, name, domain, sha256)
	return nil
}

// password asks twice on a terminal, without echo, and reads one line elsewhere.
func (a *app) password(address string) (string, error) {
	fd := int(a.stdin.Fd())
	if !term.IsTerminal(fd) {
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", errors.New("no password on stdin")
		}
		return line, nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(a.stderr, prompt)
		p, err := term.ReadPassword(fd)
		fmt.Fprintln(a.stderr)
		return string(p), err
	}
	first, err := ask("Password of " + address + ": ")
	if err != nil {
		return "", err
	}
	again, err := ask("Again: ")
	switch {
	case err != nil:
		return "", err
	case first != again:
		return "", errors.New("the two passwords differ")
	case first == "":
		return "", errors.New("an empty password")
	}
	return first, nil
}
