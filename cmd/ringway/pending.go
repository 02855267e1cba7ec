package main

import (
	"errors"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway"
)

func newServer(*gateway.Config, zerolog.Logger) (server, error) {
	return nil, errors.New("the gateway is not part of this build")
}
