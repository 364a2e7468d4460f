//go:build !linux

package store

func notices(string) []string { return nil }

func holder(string) string { return "" }
