// Package rules holds what the contract says of keys, bounds and sizes.
package rules

import (
	"strings"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/fault"
)

// The contract's numbers, in bytes and in things.
const (
	MessageBytes    = 4 << 20
	KeyBytes        = 1024
	ComponentBytes  = 255
	BoundBytes      = 2048
	ValueBytes      = 256 << 10
	WriteBytes      = 7 << 19 // 3.5 MiB
	GetKeys         = 100
	WriteOperations = 100
	ListItems       = 1000
	// AnswerBytes is where an answer stops: what is left of a message is for the fields around the items [call.size.01].
	AnswerBytes = MessageBytes - 64<<10
)

// CheckKey refuses what is no key [meta.key.01].
func CheckKey(key string) error {
	if isKey(key) {
		return nil
	}
	return fault.New(fault.InvalidKey, "key %.100q is not a list of [A-Za-z0-9._-]{1,255} components joined by single "+
		`slashes, none of them "." or "..", 1 to 1024 bytes in all`, key)
}

func isKey(key string) bool {
	if len(key) > KeyBytes {
		return false
	}
	for component := range strings.SplitSeq(key, "/") {
		if len(component) < 1 || len(component) > ComponentBytes || component == "." || component == ".." {
			return false
		}
		for i := range len(component) {
			if !isKeyByte(component[i]) {
				return false
			}
		}
	}
	return true
}

func isKeyByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '.' || b == '_' || b == '-'
}

// CheckBound refuses a prefix or start_after that is not ASCII, or too long [meta.list.04].
func CheckBound(field, text string) error {
	ascii := len(text) <= BoundBytes
	for i := 0; ascii && i < len(text); i++ {
		ascii = text[i] < 0x80
	}
	if ascii {
		return nil
	}
	return fault.Field(field, "%.100q is not ASCII of at most %d bytes", text, BoundBytes)
}
