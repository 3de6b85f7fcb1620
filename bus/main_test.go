package bus_test

import (
	"testing"

	"github.com/mycelium-bus/mycelium/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
