// Package admission decides when a request is computed, never how: what is computed at once is bounded in number and in bytes, what waits is bounded in number,
// bytes and time, turns are fair between callers by the work that their requests take, and short requests do not wait for long ones. What cannot be is refused
// at once, with the time after which it may be worth another try.
//
// Its only clock is package time's.
package admission
