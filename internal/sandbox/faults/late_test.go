package faults

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Who takes a late effect may not be there any more.
func TestLateEffectThatBreaksItsConnection(t *testing.T) {
	set := NewSet(1)
	set.Register(Operation{Name: "op", Generic: generic})
	if err := set.Replace([]Fault{{Operation: "op", Kind: LateEffect, Delay: time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	late := make(chan struct{})
	server := httptest.NewServer(set.Wrap("op", func(*http.Request) string { return "" }, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(late)
		panic(http.ErrAbortHandler)
	})))
	defer server.Close()
	if resp, err := server.Client().Post(server.URL, "text/plain", strings.NewReader("")); err == nil {
		resp.Body.Close()
		t.Error("the connection did not break")
	}
	<-late
	set.Close() // waits for what is late; nothing has ended the process
}
