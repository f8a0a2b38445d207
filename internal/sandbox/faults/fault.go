package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Kind is a way to fail.
type Kind string

const (
	Status         Kind = "status"
	Latency        Kind = "latency"
	LostReply      Kind = "lost_reply"
	LostRequest    Kind = "lost_request"
	LateEffect     Kind = "late_effect"
	LateReply      Kind = "late_reply"
	DropStream     Kind = "drop_stream"
	WrongPublicKey Kind = "wrong_public_key"
	LoseState      Kind = "lose_state"
	Reject         Kind = "reject"
	ApprovalDelay  Kind = "approval_delay"
	HolderOffline  Kind = "holder_offline"
)

// Fault is one rule. The zero values of Rate, Wallet and Times mean: always,
// every wallet, without end.
type Fault struct {
	Operation  string
	Kind       Kind
	Rate       float64       // share of the calls that fail, in (0, 1]
	Status     int           // for Status; default 500
	RetryAfter int           // seconds, for Status; sent when not zero
	Delay      time.Duration // for Latency, LateEffect, LateReply, ApprovalDelay and a room's LostRequest; default 1 s
	Wallet     string        // only calls about this wallet
	Times      int           // only so many times
	Curve      string        // for WrongPublicKey, where a wallet has a key per curve: which one is wrong
}

type faultJSON struct {
	Operation  string   `json:"operation"`
	Kind       Kind     `json:"kind"`
	Rate       *float64 `json:"rate,omitempty"`
	Status     int      `json:"status,omitempty"`
	RetryAfter int      `json:"retry_after,omitempty"`
	Delay      string   `json:"delay,omitempty"`
	Wallet     string   `json:"wallet,omitempty"`
	Times      int      `json:"times,omitempty"`
	Curve      string   `json:"curve,omitempty"`
	Hits       int      `json:"hits,omitempty"` // only in answers
}

// UnmarshalJSON reads the form of PUT /_sandbox/faults.
func (f *Fault) UnmarshalJSON(text []byte) error {
	var in faultJSON
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields() // a misspelt limit would let a fault strike for ever
	if err := decoder.Decode(&in); err != nil {
		return fmt.Errorf("reading a fault: %w", err)
	}
	out := Fault{
		Operation: in.Operation, Kind: in.Kind, Status: in.Status,
		RetryAfter: in.RetryAfter, Wallet: in.Wallet, Times: in.Times, Curve: in.Curve, Rate: 1,
	}
	if in.Rate != nil {
		out.Rate = *in.Rate
		if out.Rate == 0 {
			return errors.New("reading a fault: rate 0 never happens; leave the fault out")
		}
	}
	if in.Delay != "" {
		delay, err := time.ParseDuration(in.Delay)
		if err != nil {
			return fmt.Errorf("reading a fault: delay: %w", err)
		}
		out.Delay = delay
	}
	*f = out
	return nil
}

// complete fills in the defaults and refuses what cannot be.
func (f *Fault) complete() error {
	if f.Rate == 0 {
		f.Rate = 1
	}
	if f.Status == 0 {
		f.Status = 500
	}
	if f.Delay == 0 {
		f.Delay = time.Second
	}
	switch {
	case !(f.Rate > 0 && f.Rate <= 1):
		return fmt.Errorf("rate %v is not in (0, 1]", f.Rate)
	case f.Status < 400 || f.Status > 599:
		return fmt.Errorf("status %d is not an error", f.Status)
	case f.RetryAfter < 0 || f.Delay < 0 || f.Times < 0:
		return errors.New("retry_after, delay and times cannot be negative")
	case f.Curve != "" && f.Kind != WrongPublicKey:
		return fmt.Errorf("curve is for %s only", WrongPublicKey)
	}
	return nil
}

// Hit is what befalls one call.
type Hit struct {
	Kind       Kind // empty: nothing but perhaps Delay
	Status     int
	RetryAfter int
	Delay      time.Duration // of Latency faults, together
	Late       time.Duration // the fault's delay, for kinds other than Latency
	Curve      string        // the fault's curve
}
