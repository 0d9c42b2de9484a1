"""Text in, batches out: documents, tokenizer, corpus store, sampling, batches. Never imports paddle."""
