package dissect

// Unknown is the protocol of a flow that was not recognised.
const Unknown Protocol = 0
