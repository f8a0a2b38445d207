package dynamic

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

const (
	// maxEvent limits one event; a refresh event is about a kilobyte.
	maxEvent = 1 << 20
	// maxStream limits a whole event stream, comments and keep-alives included.
	maxStream = 16 << 20
)

var errStreamTooLong = errors.New("the event stream is longer than allowed")

// event is one server-sent event.
type event struct {
	name string // "message" when the stream names none
	data string
}

// eventReader reads server-sent events as the HTML standard describes them
// (section 9.2.6, "interpreting an event stream"): any line end, comments, data
// on several lines. It is more tolerant than the vendor's own client and never
// reads further than the end of the event it returns, so that an event is
// delivered when it arrives.
type eventReader struct {
	r       *bufio.Reader
	left    int  // bytes of the stream that may still be read
	skipLF  bool // the last line ended in CR; an LF now belongs to it
	started bool
}

func newEventReader(r io.Reader) *eventReader {
	return &eventReader{r: bufio.NewReader(r), left: maxStream}
}

// next returns the next event that carries data. An event that is cut off by
// the end of the stream is dropped, as the standard says: io.EOF.
func (r *eventReader) next() (event, error) {
	e := event{}
	var data strings.Builder
	hasData := false
	for {
		line, err := r.line()
		if err != nil {
			return event{}, err
		}
		if line == "" {
			if !hasData {
				e.name = "" // an event without data is none, its name included
				continue
			}
			if e.name == "" {
				e.name = "message"
			}
			e.data = strings.TrimSuffix(data.String(), "\n")
			return e, nil
		}
		field, value, _ := strings.Cut(line, ":") // a comment has an empty field
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.name = value
		case "data":
			if data.Len()+len(value) >= maxEvent {
				return event{}, errStreamTooLong
			}
			hasData = true
			data.WriteString(value)
			data.WriteByte('\n')
		}
	}
}

// line returns the next line without its end, which is LF, CR or CRLF.
func (r *eventReader) line() (string, error) {
	var b strings.Builder
	for {
		c, err := r.r.ReadByte()
		if err != nil {
			return "", err
		}
		if r.left--; r.left < 0 || b.Len() > maxEvent {
			return "", errStreamTooLong
		}
		skip := r.skipLF && c == '\n'
		r.skipLF = c == '\r'
		switch {
		case skip:
		case c == '\n' || c == '\r':
			line := b.String()
			if !r.started { // one byte order mark may lead the stream
				r.started = true
				line = strings.TrimPrefix(line, "\ufeff")
			}
			return line, nil
		default:
			b.WriteByte(c)
		}
	}
}
