package rules

import (
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	longest := strings.Repeat(strings.Repeat("a", 255)+"/", 3) + "a/" + strings.Repeat("a", 254)
	if len(longest) != KeyBytes {
		t.Fatal(len(longest))
	}
	for _, key := range []string{"a", "A-b_c.d/0", "..a", "...", strings.Repeat("a", 255), longest} {
		if err := CheckKey(key); err != nil {
			t.Errorf("%.40s: %v", key, err)
		}
	}
	for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a b", "ä", "a\x00", "a\n",
		strings.Repeat("a", 256), longest + "a"} {
		if CheckKey(key) == nil {
			t.Errorf("%.40q is taken for a key", key)
		}
	}
}

func TestBounds(t *testing.T) {
	for _, bound := range []string{"", "//", "a b", "\x00\x7f", strings.Repeat("x", 2048)} {
		if err := CheckBound("prefix", bound); err != nil {
			t.Error(err)
		}
	}
	for _, bound := range []string{"ä", "\x80", strings.Repeat("x", 2049)} {
		if CheckBound("prefix", bound) == nil {
			t.Errorf("%.40q is taken for a bound", bound)
		}
	}
}
