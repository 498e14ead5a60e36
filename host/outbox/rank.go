package outbox

// digestRank is the severity of a digest in delivery.severity: above all, for what it stands for is lost with it.
const digestRank = 9
