package controlplane

import "testing"

func TestExpand(t *testing.T) {
	t.Parallel()
	var known variables
	known.set("NAME", "first")
	known.set("NAME", "second")
	known.set("EMPTY", "")
	for text, want := range map[string]string{
		"":                     "",
		"plain":                "plain",
		"$(NAME)":              "second",
		"<$(NAME)$(EMPTY)>":    "<second>",
		"$(OTHER)":             "$(OTHER)",
		"$$(NAME)":             "$(NAME)",
		"$$$(NAME)":            "$second",
		"$NAME ${NAME} $(NAME": "$NAME ${NAME} $(NAME",
		"5$":                   "5$",
	} {
		if got := known.expand(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	mounted := paths{"/data": "/tmp/a", "/data/cache": "/tmp/b"}
	for text, want := range map[string]string{
		"/data":               "/tmp/a",
		"/data/file":          "/tmp/a/file",
		"/data/cache/file":    "/tmp/b/file",
		"/datashop":           "/datashop",
		"https://host/data/x": "https://host/data/x",
		"":                    "",
	} {
		if got := mounted.rewrite(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
