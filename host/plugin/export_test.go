package plugin

// Sanitise is sanitise, for its fuzz target.
var Sanitise = sanitise
