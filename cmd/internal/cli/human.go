package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Size writes a number of bytes as the config does: "16MiB", "1.5KiB", "312B". One digit after the point at most.
func Size(bytes uint64) string {
	const units = "KMGTPE"
	if bytes < 1024 {
		return strconv.FormatUint(bytes, 10) + "B"
	}
	value, unit := float64(bytes)/1024, 0
	// What would be printed as 1024.0 of a unit is 1.0 of the next.
	for value >= 1023.95 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return shortFloat(value) + units[unit:unit+1] + "iB"
}

// Number writes n with a comma between groups of three digits.
func Number(n int64) string {
	sign, digits := "", strconv.FormatInt(n, 10)
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Rate writes how many a second: "61.2M/s", "980/s".
func Rate(perSecond float64) string {
	for _, u := range []struct {
		from float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if perSecond >= u.from*0.99995 {
			return shortFloat(perSecond/u.from) + u.name + "/s"
		}
	}
	return shortFloat(perSecond) + "/s"
}

// Age writes how long something has lasted, in the two largest units at most: "350ms", "4.2s", "3m12s", "2h5m", "6d4h".
// Less than a millisecond, and what lies in the future, is "0s".
func Age(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return shortFloat(float64(d.Milliseconds()/100)/10) + "s"
	case d < time.Hour:
		return two(int64(d/time.Minute), "m", int64(d%time.Minute/time.Second), "s")
	case d < 24*time.Hour:
		return two(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "m")
	}
	return two(int64(d/(24*time.Hour)), "d", int64(d%(24*time.Hour)/time.Hour), "h")
}

func two(a int64, unitA string, b int64, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, unitA)
	}
	return fmt.Sprintf("%d%s%d%s", a, unitA, b, unitB)
}

// Latency writes a time that was measured in nanoseconds with three significant digits: "150ns", "1.29us", "75.2us", "7.1ms".
func Latency(ns int64) string {
	switch {
	case ns < 1_000:
		return fmt.Sprintf("%dns", ns)
	case ns < 999_500:
		return threeDigits(float64(ns)/1e3) + "us"
	case ns < 999_500_000:
		return threeDigits(float64(ns)/1e6) + "ms"
	}
	return threeDigits(float64(ns)/1e9) + "s"
}

func shortFloat(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

func threeDigits(v float64) string {
	decimals := 0
	switch {
	case v < 9.995:
		decimals = 2
	case v < 99.95:
		decimals = 1
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if decimals > 0 {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}
