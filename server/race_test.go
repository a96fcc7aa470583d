//go:build race

package server

func init() { raced = true }
