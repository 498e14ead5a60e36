package plugin

// For fuzz targets.
var (
	Sanitise = sanitise
	Markdown = markdown
)
