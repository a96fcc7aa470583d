// Package faults is the fault matrix: what becomes of a trainer's steps, and of the server's work, when something breaks between or under them.
//
// Its tests run a form of it within one process, in a second or two. `make faults` runs all of it, with kantor serve and trainers as processes of their own, and
// writes docs/reliability.md, which the tests hold to the table in cells_test.go, and out/faults.csv, with what was measured.
package faults
