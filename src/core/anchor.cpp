namespace vene { int anchor = 0; }
