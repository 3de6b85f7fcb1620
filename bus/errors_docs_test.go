package bus

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
)

// TestTheDocumentNamesTheErrorsOfTheCodes holds the page's table of codes to the errors that refusals become.
func TestTheDocumentNamesTheErrorsOfTheCodes(t *testing.T) {
	b, err := os.ReadFile("../docs/reference/control-messages.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]error{
		"`ErrVersion`": ErrVersion, "`ErrNoTopic`": ErrNoTopic, "`ErrExists`": ErrExists, "`ErrInUse`": ErrInUse, "`ErrLimit`": ErrLimit,
		"`ErrPermission`": ErrPermission, "`ErrTooLarge`": ErrTooLarge, "`ErrNoSpace`": ErrNoSpace, "`ErrInvalid`": ErrInvalid,
		"`ErrCorrupt`": ErrCorrupt, "`ErrClosed`": ErrClosed, "`ErrNoClient`": ErrNoClient,
	}
	_, table, _ := strings.Cut(string(b), "| code | name | when |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		code, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		if err != nil {
			continue // the line under the heading
		}
		rows++
		becomes := strings.TrimSpace(cells[4])
		if want := sentinels[control.Code(code)]; named[becomes] != want || want == nil && !strings.HasPrefix(becomes, "-") {
			t.Errorf("code %d becomes %v, the document says %s", code, want, becomes)
		}
	}
	if rows < len(sentinels) {
		t.Errorf("%d rows for %d codes", rows, len(sentinels))
	}
}
