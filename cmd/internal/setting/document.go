package setting

import (
	"errors"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// Document returns a text in which the tables of settings are up to date. A table
// stands between <!-- settings: GROUP... --> and <!-- /settings -->. Without
// groups it has all settings.
func Document(text string, model *kong.Node) (string, error) {
	marked := regexp.MustCompile(`(?s)(<!-- settings:([^>]*)-->\n).*?(<!-- /settings -->)`)
	if !marked.MatchString(text) {
		return "", errors.New("there is no <!-- settings: --> … <!-- /settings -->")
	}
	return marked.ReplaceAllStringFunc(text, func(old string) string {
		parts := marked.FindStringSubmatch(old)
		return parts[1] + table(model, strings.Fields(parts[2])) + parts[3]
	}), nil
}

// table returns the settings of groups in Markdown, each once.
func table(model *kong.Node, groups []string) string {
	var rows strings.Builder
	rows.WriteString("| Variable | Flag | Default | Meaning |\n| --- | --- | --- | --- |\n")
	if len(groups) == 0 {
		groups = []string{""}
	}
	seen := map[string]bool{}
	for _, group := range groups {
		for _, flag := range settingsOf(model) {
			in := group == "" || flag.Group != nil && flag.Group.Key == group
			if in && documented(flag) && !seen[flag.Name] {
				seen[flag.Name] = true
				rows.WriteString(row(flag))
			}
		}
	}
	return rows.String()
}

func settingsOf(node *kong.Node) []*kong.Flag {
	flags := Settings(node)
	for _, child := range node.Children {
		flags = append(flags, settingsOf(child)...)
	}
	return flags
}

// documented reports whether a setting is for everybody: secrets are hidden from
// --help only, since they are no flags.
func documented(flag *kong.Flag) bool {
	return len(flag.Envs) > 0 && (isSecret(flag.Value) || !flag.Hidden)
}

func row(flag *kong.Flag) string {
	name := "`--" + flag.Name + "`"
	if isSecret(flag.Value) {
		name = ""
	}
	preset := flag.Tag.Get("unset")
	if flag.Default != "" {
		preset = "`" + flag.Default + "`"
	}
	help := strings.NewReplacer(`\`, `\\`, "|", `\|`).Replace(flag.Help)
	help = regexp.MustCompile(`\$([A-Z_]+)`).ReplaceAllString(help, "`$1`")
	line := "| " + strings.Join([]string{"`" + flag.Envs[0] + "`", name, preset, help}, " | ") + " |\n"
	return regexp.MustCompile(` {2,}\|`).ReplaceAllString(line, " |")
}
