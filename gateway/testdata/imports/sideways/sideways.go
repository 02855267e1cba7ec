// Package sideways imports what a room below gateway must not; no build reaches it.
package sideways

import (
	_ "github.com/gorilla/websocket"

	_ "github.com/ringway/ringway/gateway/trunk"
	_ "github.com/ringway/ringway/registrar"
)
