package adoqueue

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

// This file is the only place that knows how Azure DevOps writes its JSON. What
// differs between Services and the releases of the Server is accepted in every
// form: enumerations as text or number, demands as text or object, lists bare
// or in an envelope, times with and without a zone.

// wireJobRequest is an item of the list of job requests.
type wireJobRequest struct {
	RequestID        int64        `json:"requestId"`
	JobID            string       `json:"jobId"`
	QueueTime        wireTime     `json:"queueTime"`
	AssignTime       wireTime     `json:"assignTime"`
	ReceiveTime      wireTime     `json:"receiveTime"`
	FinishTime       wireTime     `json:"finishTime"`
	Result           wireResult   `json:"result"`
	Demands          []wireDemand `json:"demands"`
	ReservedAgent    *wireNamed   `json:"reservedAgent"`
	MatchedAgents    []wireNamed  `json:"matchedAgents"`
	MatchesAllAgents bool         `json:"matchesAllAgentsInPool"`
	Definition       wireNamed    `json:"definition"`
	Owner            wireOwner    `json:"owner"`
	ScopeID          wireText     `json:"scopeId"`
	PlanType         wireText     `json:"planType"`
	Priority         wireNumber   `json:"priority"`
}

type wireNamed struct {
	Name string `json:"name"`
}

// wireOwner is the run of a pipeline, or the stage of a release.
type wireOwner struct {
	ID   wireNumber `json:"id"`
	Name string     `json:"name"`
}

// state is decided by the first mark that fits. Requests exist that have a
// result but no times, and ones that have a finish time but no result.
func (w *wireJobRequest) state() State {
	set := func(t wireTime) bool { return !time.Time(t).IsZero() }
	switch {
	case w.Result != "" || set(w.FinishTime):
		return Finished
	case set(w.ReceiveTime):
		return Running
	case set(w.AssignTime) || w.ReservedAgent != nil:
		return Assigned
	default:
		return Queued
	}
}

// wireTime is a time with 0 to 7 fractional digits. The zone may be missing,
// which means UTC, and the year 1 means that the time was never set.
type wireTime time.Time

func (t *wireTime) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) || bytes.Equal(data, []byte(`""`)) {
		return nil
	}
	// A time needs no unquoting: text with escapes in it is none.
	text := string(bytes.Trim(data, `"`))
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05"} {
		// Parse accepts a fraction that its layout does not have.
		parsed, err := time.Parse(layout, text)
		if err == nil {
			if parsed.Year() > 1 {
				*t = wireTime(parsed.UTC())
			}
			return nil
		}
	}
	return errors.New("a time is not in the form of RFC 3339")
}

// wireResult is the result of a request; older servers write its number.
type wireResult string

var resultNames = []string{"succeeded", "succeededWithIssues", "failed", "canceled", "skipped", "abandoned"}

func (r *wireResult) UnmarshalJSON(data []byte) error {
	number, text, err := decodeEnum(data)
	switch {
	case err != nil:
		return err
	case number == nil:
		*r = wireResult(text)
	case *number >= 0 && *number < len(resultNames):
		*r = wireResult(resultNames[*number])
	default:
		*r = wireResult(fmt.Sprintf("unknown(%d)", *number))
	}
	return nil
}

// wireOptions are the flags of a pool, as text ("elasticPool, singleUseAgents")
// or number (bit 1 is elasticPool).
type wireOptions struct{ elastic bool }

func (o *wireOptions) UnmarshalJSON(data []byte) error {
	number, text, err := decodeEnum(data)
	if err != nil {
		return err
	}
	o.elastic = strings.Contains(strings.ToLower(text), "elasticpool") || number != nil && *number&1 != 0
	return nil
}

// wireNumber is a number. Its other forms are unknown: they count as 0, since the
// list is worth more.
type wireNumber int

func (n *wireNumber) UnmarshalJSON(data []byte) error {
	if number, _, err := decodeEnum(data); err == nil && number != nil {
		*n = wireNumber(*number)
	}
	return nil
}

// wireText is a text that the list can do without: its other forms count as "".
type wireText string

func (t *wireText) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*t = wireText(text)
	}
	return nil
}

// decodeEnum reads an enumeration's value: its number, or else its text, which
// is "" for null.
func decodeEnum(data []byte) (number *int, text string, err error) {
	if bytes.Equal(data, []byte("null")) {
		return nil, "", nil
	}
	if bytes.HasPrefix(data, []byte(`"`)) {
		err = json.Unmarshal(data, &text)
		return nil, text, err
	}
	if n, err := strconv.Atoi(string(data)); err == nil { // nearly always
		return &n, "", nil
	}
	err = json.Unmarshal(data, &number)
	return number, "", err
}

// wireDemand is the text of a demand; some answers hold {"name","value"}.
type wireDemand string

func (d *wireDemand) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		var object struct{ Name, Value string }
		if err := json.Unmarshal(data, &object); err != nil {
			return err
		}
		*d = wireDemand(object.Name)
		if object.Value != "" {
			*d += wireDemand(" -equals " + object.Value)
		}
		return nil
	}
	if plain := bytes.Trim(data, `"`); len(plain) == len(data)-2 && !bytes.Contains(plain, []byte(`\`)) {
		*d = wireDemand(plain) // it needs no unquoting
		return nil
	}
	return json.Unmarshal(data, (*string)(d))
}

type wirePool struct {
	ID       int         `json:"id"`
	Name     string      `json:"name"`
	IsHosted bool        `json:"isHosted"`
	Options  wireOptions `json:"options"`
}

func (w wirePool) pool() Pool {
	return Pool{ID: w.ID, Name: safetext.Printable(w.Name), Hosted: w.IsHosted, Elastic: w.Options.elastic}
}

// decodeFailure finds Microsoft's words in the body of an error: its usual
// form, or the list that wraps them on some paths. Other bodies hold none.
func decodeFailure(body []byte) (typeKey, message string) {
	body = bytes.TrimPrefix(body, byteOrderMark)
	var failure struct {
		TypeKey string `json:"typeKey"`
		Message string `json:"message"`
		Value   struct {
			Message string
		} `json:"value"`
	}
	// Fields of another type than here are passed over, the rest is filled in.
	_ = json.Unmarshal(body, &failure)
	return failure.TypeKey, cmp.Or(failure.Message, failure.Value.Message)
}
