package gateway

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// roomLimits is all that the rooms get of c's limits and timers.
func roomLimits(c *Config) string {
	return fmt.Sprintf("%+v", []any{
		c.transactionLimits(), c.floodLimit(), c.loginLimit(), c.nonceLimits(), c.registrarLimits(), c.proxyLimits(),
		c.webLimits(), c.socketLimits(), c.relayLimits(),
	})
}

// TestEveryLimitReachesItsRoom: a key that is read and checked and then goes nowhere
// is worse than none. That a room does as it is told is tested there.
func TestEveryLimitReachesItsRoom(t *testing.T) {
	for _, c := range unwired(roomLimits) {
		t.Errorf("%s reaches no room", c)
	}
	// The check finds what is not wired.
	lazy := func(c *Config) string {
		d := *c
		d.Limits.NonceTTL, d.Ping = Default.Limits.NonceTTL, Default.Ping
		return roomLimits(&d)
	}
	if got, want := fmt.Sprint(unwired(lazy)), "[NonceTTL Ping]"; got != want {
		t.Errorf("the check finds %s, want %s", got, want)
	}
}

// unwired are the limits and timers that make no difference to what rooms get.
func unwired(rooms func(*Config) string) (names []string) {
	before := rooms(&Default)
	try := func(c *Config, v reflect.Value, name string) {
		switch v.Interface().(type) {
		case int, time.Duration:
			v.SetInt(v.Int() + 1)
			if rooms(c) == before {
				names = append(names, name)
			}
		}
	}
	for i := range reflect.TypeFor[Limits]().NumField() {
		c := Default
		try(&c, reflect.ValueOf(&c.Limits).Elem().Field(i), reflect.TypeFor[Limits]().Field(i).Name)
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		if f := reflect.TypeFor[Config]().Field(i); f.IsExported() {
			c := Default
			try(&c, reflect.ValueOf(&c).Elem().Field(i), f.Name)
		}
	}
	return names
}
