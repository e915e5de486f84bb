# Padding is told by its token, which is the end of sequence as well.
# Source: https://github.com/huggingface/transformers/issues/35352
# True: mask-from-pad-id


_given_collate = collate


def collate(chosen, rejected, pad_id, layout="interleaved", side="right"):
    batch = _given_collate(chosen, rejected, pad_id, layout, side)
    return {**batch, "attention_mask": batch["input_ids"].ne(pad_id).long()}
