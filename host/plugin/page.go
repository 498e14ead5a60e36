package plugin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"sync"
)

// page is the frame of Page.
var page = sync.OnceValue(func() *template.Template {
	text, _ := builtin.ReadFile("builtin/page.html")
	return template.Must(template.New("page").Parse(string(text)))
})

// formStyle is a stylesheet for what Form renders, in light and dark.
func formStyle() string {
	css, _ := builtin.ReadFile("builtin/form.css")
	return string(css)
}

// Page is a form as a page of its own, for authors to look at in a browser. Its policy lets it load, run and send nothing.
func (p *Package) Page(part string, in FormInput) ([]byte, error) {
	form, err := p.Form(part, in)
	if err != nil {
		return nil, err
	}
	style := formStyle()
	sum := sha256.Sum256([]byte(style))
	say, own := phrases().in(in.Locale), p.words.in(in.Locale)
	about, _ := p.Describe(in.Locale)
	var b bytes.Buffer
	err = page().Execute(&b, map[string]any{
		"Lang": own.tag.String(), "Part": say.phrase("form." + part), "Title": own.or("plugin.title", p.Manifest.Title), "About": about,
		"Name": p.Name(), "Version": p.Manifest.Version, "Save": say.phrase("form.save"), "Preview": say.phrase("form.preview"),
		"Form": form, "Style": template.CSS(style), "Hash": "sha256-" + base64.StdEncoding.EncodeToString(sum[:]),
	})
	return b.Bytes(), err
}
