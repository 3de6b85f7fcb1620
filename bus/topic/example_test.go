package topic_test

import (
	"fmt"

	"github.com/mycelium-bus/mycelium/bus/topic"
)

// A name is enough; the rest has defaults.
func Example() {
	c := topic.Config{Name: "market_data", Slow: topic.Drop}
	if err := c.Validate(); err != nil {
		fmt.Println(err)
	}
	c = c.WithDefaults()
	fmt.Println(c.Kind, c.Routing, c.Size, c.MaxFrame, c.Credit, c.Slow, c.Patience)
	// Output: mpmc fanout 16MiB 64KiB 8MiB drop 1s
}

func ExampleConfig_Validate() {
	c := topic.Config{Name: "signals", Size: 10 * topic.MiB, Publish: []string{"alice"}}
	for _, fault := range topic.Faults(c.Validate()) {
		fmt.Println(fault)
	}
	// Output:
	// topic "signals": size = "10MiB": it is not a power of two; take 8MiB or 16MiB
	// topic "signals": publish = "alice": it names nobody; write "*", "user:NAME" or "group:NAME"
}

func ExampleParseTypes() {
	types, err := topic.ParseTypes("200-254,1-19,106")
	fmt.Println(types, types.Contains(106), types.Contains(107), err)
	// Output: 1-19,106,200-254 true false <nil>
}
