package setting

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// bounds are the least and the greatest value of a number or a duration, in
// nanoseconds, if it has them.
type bounds struct {
	min, max *int64
	unit     string // of a duration that is a number only
}

// boundsOf reads the tags of a setting.
func boundsOf(value *kong.Value) (bounds, error) {
	b := bounds{unit: "s"}
	if unit := value.Tag.Get("unit"); unit != "" {
		b.unit = unit
	}
	var err error
	if b.min, err = bound(value, "min"); err != nil {
		return b, err
	}
	b.max, err = bound(value, "max")
	return b, err
}

func bound(value *kong.Value, tag string) (*int64, error) {
	text := value.Tag.Get(tag)
	if text == "" {
		return nil, nil //nolint:nilnil // no bound, and nothing wrong
	}
	if value.Target.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		return (*int64)(&d), err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return &n, err
}

// decode reads a text into the target. White space around it does no harm, as it
// stands at the end of many a Secret.
func (b bounds) decode(value *kong.Value, text string, target reflect.Value) error {
	text, err := clean(text, target.Kind() == reflect.Slice || target.Kind() == reflect.Map)
	if err != nil {
		return err
	}
	if allowed := value.EnumSlice(); value.Enum != "" && !slices.Contains(allowed, text) {
		return fmt.Errorf("%s is not one of %s", quote(text), strings.Join(allowed, ", "))
	}
	switch field := target.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return field.UnmarshalText([]byte(text))
	case *time.Duration:
		*field, err = b.duration(text)
		return err
	case *[]string:
		*field = append(*field, Split(text)...)
		return nil
	}
	switch target.Kind() {
	case reflect.String:
		target.SetString(text)
	case reflect.Bool:
		yes, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%s is neither true nor false", quote(text))
		}
		target.SetBool(yes)
	case reflect.Int:
		n, err := b.number(text)
		target.SetInt(n)
		return err
	default:
		return fmt.Errorf("%s cannot be decoded", target.Type())
	}
	return nil
}

// clean trims a value and refuses what no setting holds: it would garble
// messages, headers and manifests.
func clean(text string, list bool) (string, error) {
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
	if list {
		text = strings.NewReplacer("\r", " ", "\n", " ", "\t", " ").Replace(text)
	}
	if !utf8.ValidString(text) {
		return "", errors.New("is not valid UTF-8")
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", errors.New("contains a control character, such as a line break")
	}
	return text, nil
}

// duration reads 10m or, as in Kubernetes, a number of seconds.
func (b bounds) duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + b.unit)
	}
	if err != nil {
		return 0, fmt.Errorf("%s is not a duration such as 90s or 10m", quote(text))
	}
	return d, b.check(text, int64(d), func(n int64) string { return time.Duration(n).String() })
}

func (b bounds) number(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, strconv.IntSize)
	if err != nil {
		return 0, fmt.Errorf("%s is not a whole number", quote(text))
	}
	return n, b.check(text, n, func(n int64) string { return strconv.FormatInt(n, 10) })
}

func (b bounds) check(text string, n int64, format func(int64) string) error {
	least := int64(0) // no setting is negative
	if b.min != nil {
		least = *b.min
	}
	switch {
	case n < least:
		return fmt.Errorf("%s is too small; the minimum is %s", quote(text), format(least))
	case b.max != nil && n > *b.max:
		return fmt.Errorf("%s is too large; the maximum is %s", quote(text), format(*b.max))
	default:
		return nil
	}
}

// Split returns the items of a comma-separated list, without white space around
// them and without empty ones. A comma in an item is written \,.
func Split(list string) []string {
	var items []string
	for _, item := range kong.SplitEscaped(list, ',') {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// quote returns a value for a message, of a long one the beginning.
func quote(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return strconv.Quote(text)
}
