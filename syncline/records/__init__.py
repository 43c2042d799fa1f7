"""Records: classes whose annotations are the fields of documents."""
