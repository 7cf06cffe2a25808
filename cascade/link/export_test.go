package link

// Plain has the endpoint's links send no frame again. To be called before there are any.
func (e *Endpoint) Plain() { e.plain = true }
