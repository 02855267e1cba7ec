package registrar_test

import (
	"testing"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/registrar/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) registrar.Store { return registrar.NewMemory() })
}
