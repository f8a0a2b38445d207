package provider

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Class says what an error means for a rotation, whichever vendor it came
// from. The rotation decides by class alone.
type Class string

const (
	// Retryable: nothing changed, and the same thing may work later.
	Retryable Class = "retryable"
	// RateLimited: retryable, after the time the vendor asked for.
	RateLimited Class = "rate_limited"
	// Terminal: it will not work until a person changes something.
	Terminal Class = "terminal"
	// InDoubt: a call that changes the vendor was sent and its outcome is
	// unknown. It is asked about, never blindly repeated.
	InDoubt Class = "in_doubt"
	// Verification: somebody's answer contradicts what is on record. Never
	// retried by itself.
	Verification Class = "verification"
)

// Reason is the value of the label "reason" in rotation_failures_total.
type Reason string

const (
	ReasonTimeout          Reason = "timeout"
	ReasonRateLimited      Reason = "rate_limited"
	ReasonAuth             Reason = "auth"
	ReasonPartyUnavailable Reason = "party_unavailable"
	ReasonVerification     Reason = "verification"
	ReasonProviderError    Reason = "provider_error"
	ReasonInvalidState     Reason = "invalid_state"
	ReasonCoSigner         Reason = "cosigner"
	ReasonInternal         Reason = "internal"
)

// Reasons are all of them.
var Reasons = []Reason{ReasonTimeout, ReasonRateLimited, ReasonAuth, ReasonPartyUnavailable, ReasonVerification,
	ReasonProviderError, ReasonInvalidState, ReasonCoSigner, ReasonInternal}

// Error is a classified failure. Its text is for operators: one sentence, no
// response body, no token, no header.
type Error struct {
	Class  Class
	Reason Reason
	// RetryAfter is how long the vendor asked to wait; zero when it did not.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes a classified error. The format takes %w.
func Errorf(class Class, reason Reason, format string, args ...any) *Error {
	return &Error{Class: class, Reason: reason, Err: fmt.Errorf(format, args...)}
}

// ClassOf is the class of err. An error that nobody classified is Retryable
// with reason internal when it is a local one; a time-out is Retryable too: a
// provider that sent something which changes the vendor must have said
// InDoubt itself.
func ClassOf(err error) (Class, Reason) {
	var e *Error
	if errors.As(err, &e) {
		return e.Class, e.Reason
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Retryable, ReasonTimeout
	}
	return Retryable, ReasonInternal
}

// RetryAfter is the wait that the vendor asked for with err, or zero.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
