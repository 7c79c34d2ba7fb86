def data_stages(parity):
    return ()
